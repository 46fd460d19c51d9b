"""Latents, or codes, that are computed once and stored beside the images: the image codec leaves the training step.

A cache is one safetensors file or several. A tensor bears its image's name and holds what
:meth:`janusflow.codecs.base.ImageCodec.encode` gives for the image's central square, or its central part of the
nearest of several shapes; each file's metadata say which codec and which size in pixels made it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from janusflow.codecs.base import ImageCodec
from janusflow.models.shapes import size_text
from janusflow.weights import follow_umask, writing

DrawnSize = int | Sequence[Sequence[int]]  # pixels: the side of a square, or shapes (height, width)
UNREADABLE = "unreadable"  # metadata: names of images that have no latent


class Header(NamedTuple):
    """What a file of latents says of itself."""

    names: list[str]
    made_by: dict[str, str]  # of the codec (see :func:`signature`)
    unreadable: list[str]


class LatentCache:
    """Stored latents by image name. Raises ``ValueError`` with the path of a file that is missing or damaged.

    Of a latent only 12 bytes are held: a hash of its name and the number of its file.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self.made_by: list[dict[str, str]] = []
        hashes, files = [], []
        for number, path in enumerate(self.paths):
            header = read_header(path)
            self.made_by.append(header.made_by)
            hashes.append(np.fromiter(map(name_hash, header.names), np.uint64, len(header.names)))
            files.append(np.full(len(header.names), number, np.uint32))
        unsorted = np.concatenate(hashes)
        order = np.argsort(unsorted, kind="stable")
        self.hashes, self.files = unsorted[order], np.concatenate(files)[order]
        twice = np.flatnonzero(self.hashes[1:] == self.hashes[:-1])
        if len(twice):
            first, second = (self.paths[self.files[twice[0] + after]] for after in (0, 1))
            name = min(set(read_header(first).names) & set(read_header(second).names))
            raise ValueError(f"{second} and {first} both hold {name}: shards need names of their own")

    def check(self, codec: ImageCodec, size: DrawnSize) -> None:
        """Raise ``ValueError`` where a file was made with another codec or at another size (pixels) than the run's."""
        needed = signature(codec, size)["size"]
        for path, made_by in zip(self.paths, self.made_by, strict=True):
            if not signature(codec, size).items() <= made_by.items():
                raise ValueError(
                    f"{path} holds latents of {made_by.get('size')} pixels by the image codec {made_by.get('vae')}, "
                    f"the run needs {needed} pixels and {codec.digest}: encode them again"
                )

    def __getitem__(self, name: str) -> Tensor:
        """The latent of one image, (C, s, s) or codes (N,). Raises ``ValueError`` with the name where there is none."""
        key = np.uint64(name_hash(name))
        place = int(np.searchsorted(self.hashes, key))
        if place == len(self.hashes) or self.hashes[place] != key:
            raise ValueError(f"{self.paths[0].parent} holds no latent of {name}: encode the latents again")
        return read_latents(self.paths[self.files[place]], [name])[name]


def name_hash(name: str) -> int:
    """64 bits of an image's name: among ten million, two are the same once in 370,000 data sets."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def signature(codec: ImageCodec, size: DrawnSize) -> dict[str, str]:
    """What a file's metadata say of the latents in it."""
    return {"vae": codec.digest, "size": str(size) if isinstance(size, int) else " ".join(map(size_text, size))}


def read_header(path: Path) -> Header:
    """What a file holds. Raises ``ValueError`` with its path where it is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            return Header(list(file.keys()), metadata, json.loads(metadata.pop(UNREADABLE, "[]")))
    except (OSError, SafetensorError, ValueError) as error:
        raise ValueError(f"cannot read the latents {path}: {error}") from error


def is_complete(path: Path, made_by: Mapping[str, str], names: Iterable[str]) -> bool:
    """Whether ``path`` holds latents that were made so for all of ``names`` that have one."""
    if not path.exists():
        return False
    try:
        header = read_header(path)
    except ValueError:
        return False
    ours = made_by.items() <= header.made_by.items()
    return ours and set(names) <= {*header.names, *header.unreadable}


def read_latents(path: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """Latents of a file, by name. Raises ``ValueError`` with the path where one of them cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise ValueError(f"cannot read the latents {path}: {error}") from error


def write_latents(
    path: Path, latents: Mapping[str, Tensor], made_by: Mapping[str, str], unreadable: Sequence[str] = ()
) -> None:
    """Write the file ``path``, which appears only when it is complete; the same latents make the same bytes.

    made_by: what its metadata say (:func:`signature`). unreadable: names without an image. Raises ``ValueError`` where
    it fails.
    """
    unfinished = path.with_suffix(".part")
    with writing(f"the latents {path}"):
        metadata = {**made_by, UNREADABLE: json.dumps(list(unreadable))}
        save_file(dict(latents), unfinished, metadata=metadata)
        sort_metadata(unfinished)
        follow_umask([unfinished])
        unfinished.replace(path)


def sort_metadata(path: Path) -> None:
    """Bring a safetensors file's metadata into alphabetical order: as they are written, it is left to chance."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        ordered = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(size)
        assert len(ordered) == size, "the order changes nothing else"
        file.seek(8)
        file.write(ordered)
