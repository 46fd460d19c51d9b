"""The pictures of a folder or of a zip archive, read one by one, and ahead in worker processes while this one computes.

30,000 files need not be unpacked.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

from PIL import Image

from janusflow.pictures import read_image

S = TypeVar("S")
T = TypeVar("T")
AHEAD = 2  # results that wait, of each worker
KEPT_BLOCKS = 8  # of memory (of 16 MB at most) that Pillow keeps for its next picture: half of a decoding's time
EXTENSIONS = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class ImageFiles:
    """The pictures of a folder or an archive: ``names`` are their paths inside of ``root``, in order."""

    def __init__(self, root: Path) -> None:
        """A folder, looked through at any depth, or a ``.zip``. Raises ``ValueError`` where it is neither."""
        self.root = root
        self._opened: tuple[int, zipfile.ZipFile] | None = None  # by the process of that number
        self.packed = root.is_file()
        if self.packed:
            found = [one.filename for one in self._archive.infolist() if not one.is_dir()]
        elif root.is_dir():
            found = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        else:
            raise ValueError(f"there is no folder or archive {root}")
        self._checksums: dict[str, int] = {}
        self.names = sorted(name for name in found if is_picture(name))

    @property
    def _archive(self) -> zipfile.ZipFile:
        """The archive as this process has opened it: two processes that share an open file move each other's place."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), _open_archive(self.root)
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_opened": None}

    def checksum(self, name: str) -> int:
        """The CRC-32 of a picture's file, which is read for it once. Raises ``ValueError`` where it cannot be."""
        if self.packed:
            return self._archive.getinfo(name).CRC
        if name not in self._checksums:
            try:
                self._checksums[name] = zlib.crc32((self.root / name).read_bytes())
            except OSError as error:
                raise ValueError(f"cannot read {self.root / name}: {error.strerror}") from error
        return self._checksums[name]

    def read(self, name: str) -> Image.Image:
        """A picture as RGB. Raises ``ValueError`` with its name where it is damaged."""
        if not self.packed:
            return read_image(self.root / name)
        try:
            content = self._archive.read(name)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise ValueError(f"cannot read {name} of {self.root}: {error}") from error
        return read_image(BytesIO(content), f"{name} of {self.root}")

    def by_stem(self, stems: Sequence[str]) -> list[str]:
        """The path of every stem. Raises ``ValueError`` where a stem has no picture, or several."""
        paths: dict[str, list[str]] = {}
        for name in self.names:
            paths.setdefault(PurePosixPath(name).stem, []).append(name)
        missing = [stem for stem in stems if stem not in paths]
        if missing:
            raise ValueError(f"{self.root} lacks {len(missing)} of {len(stems)} pictures; the first is {missing[0]}")
        twice = [stem for stem in stems if len(paths[stem]) > 1]
        if twice:
            raise ValueError(f"{self.root} holds {' and '.join(paths[twice[0]])}: which of them is {twice[0]}?")
        return [paths[stem][0] for stem in stems]


def is_picture(name: str) -> bool:
    """Whether a path is a picture's; what operating systems add to folders and archives is not."""
    path = PurePosixPath(name)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in EXTENSIONS and not hidden


def _open_archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a zip archive that can be read: {error}") from error


def default_workers() -> int:
    """A worker for every core that this process may use, shared with the other processes of torchrun."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def ahead(load: Callable[[S], T], items: Sequence[S], workers: int | None = None) -> Iterator[T]:
    """``load(item)`` of every item, in order, from ``workers`` processes (0: in this one; default: see above).

    Tensors in what ``load`` gives come through shared memory. Raises the ``ValueError`` that ``load`` raises.
    """
    workers = min(default_workers() if workers is None else workers, len(items))
    if workers < 1 or len(items) < 2:
        yield from map(load, items)
        return
    import torch
    from torch.utils.data import DataLoader

    loader: DataLoader[T | ValueError] = DataLoader(
        _Loaded(load, items),  # type: ignore[arg-type]  # has all that is asked of a Dataset
        batch_size=None,
        num_workers=workers,
        collate_fn=_unchanged,
        prefetch_factor=AHEAD,
        worker_init_fn=_begin,
        generator=torch.Generator(),  # not the one that others draw from
    )
    try:
        for found in loader:
            if isinstance(found, ValueError):
                raise found
            yield found
    except RuntimeError as error:  # torch's, of a worker that was killed
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"a process that reads pictures has ended ({reason}): --workers 0 does without") from error


class _Loaded(Generic[S, T]):
    """What ``load`` gives of an item, or the ``ValueError`` that it raises."""

    def __init__(self, load: Callable[[S], T], items: Sequence[S]) -> None:
        self.load, self.items = load, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> T | ValueError:
        try:
            return self.load(self.items[index])
        except ValueError as error:
            return error


def _unchanged(found: T) -> T:
    return found


def _begin(index: int) -> None:
    """Prepare a worker."""
    Image.core.set_blocks_max(KEPT_BLOCKS)
