"""The pictures of a folder or of a zip archive, read one by one: 30,000 files need not be unpacked."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from janusflow.pictures import read_image

EXTENSIONS = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class ImageFiles:
    """Named pictures with their sizes in bytes: ``sizes`` by path inside of ``root``, in the order of the paths."""

    def __init__(self, root: Path) -> None:
        """A folder, looked through at any depth, or a ``.zip``. Raises ``ValueError`` where it is neither."""
        self.root = root
        self._opened: tuple[int, zipfile.ZipFile] | None = None  # by the process of that number
        self.packed = root.is_file()
        if self.packed:
            found = {one.filename: one.file_size for one in self._archive.infolist() if not one.is_dir()}
        elif root.is_dir():
            found = {
                path.relative_to(root).as_posix(): path.stat().st_size for path in root.rglob("*") if path.is_file()
            }
        else:
            raise ValueError(f"there is no folder or archive {root}")
        self._checksums: dict[str, int] = {}
        self.sizes = {name: found[name] for name in sorted(found) if is_picture(name)}

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
        for name in self.sizes:
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
