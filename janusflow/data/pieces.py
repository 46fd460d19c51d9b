"""Work that is stored in pieces, done once by any number of processes, and that may be killed at any moment.

A batch is what a process takes at a time and what is lost at most: each is a file of its own in a folder beside that of
its piece, and whoever finishes the last one puts them together. Which items make a batch depends on nothing but its
size, so that the result is the same bytes however the work was interrupted and shared.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout
from torch import Tensor

from janusflow.data.latents import is_complete, read_header, read_latents, write_latents
from janusflow.weights import writing


class Piece(NamedTuple):
    """A file of latents and the items that it holds."""

    path: Path
    items: range


def split(items: int, size: int, folder: Path) -> list[Piece]:
    """``items`` in pieces of ``size``, as numbered files of a folder."""
    parts = [range(start, min(start + size, items)) for start in range(0, items, size)]
    return [Piece(folder / f"{number:05d}.safetensors", part) for number, part in enumerate(parts)]


class Pieces(ABC):
    """Makes the latents of pieces, batch by batch. ``made_by``: what the files' metadata say of them."""

    def __init__(self, made_by: dict[str, str], batch_size: int) -> None:
        self.made_by, self.batch_size = made_by, batch_size

    @abstractmethod
    def name(self, item: int) -> str:
        """What the latent of an item is called; no two are called the same."""

    @abstractmethod
    def make(self, batch: Piece) -> tuple[dict[str, Tensor], list[str]]:
        """The latents of a batch by name, and the names of items that have none."""

    def run(self, piece: Piece, count: Callable[[int], None]) -> None:
        """Make the batches of ``piece`` that are missing and not taken; ``count`` is told of the items passed."""
        if self.is_stored(piece):
            count(len(piece.items))
            return
        for batch in self.batches(piece):
            with taken(batch.path) as free:
                if free and not self.is_stored(batch) and not self.is_stored(piece):
                    latents, without = self.make(batch)
                    write_latents(batch.path, latents, self.made_by, without)
            count(len(batch.items))
        self.finish(piece)

    def batches(self, piece: Piece) -> list[Piece]:
        """Equal parts of a piece, the last one shorter; each with a file of its own in the piece's folder."""
        starts = range(0, len(piece.items), self.batch_size)
        parts = [piece.items[start : start + self.batch_size] for start in starts]
        return [Piece(parts_folder(piece) / f"{part[0]:08d}.safetensors", part) for part in parts]

    def is_stored(self, piece: Piece) -> bool:
        """Whether all latents of a piece, or of a batch, are in its file."""
        return is_complete(piece.path, self.made_by, map(self.name, piece.items))

    def finish(self, piece: Piece) -> None:
        """Make one file of a piece whose batches are all there, and remove those; the last of its processes does it."""
        folder, batches = parts_folder(piece), self.batches(piece)
        with taken(folder / "all", timeout=-1):
            if not self.is_stored(piece) and all(map(self.is_stored, batches)):
                self.join(piece, [batch.path for batch in batches])
        if self.is_stored(piece):
            shutil.rmtree(folder, ignore_errors=True)

    def join(self, piece: Piece, parts: list[Path]) -> None:
        """Write the latents of the files ``parts`` into the file of ``piece``."""
        names = set(map(self.name, piece.items))  # a batch that was larger may hold others
        latents: dict[str, Tensor] = {}
        without: list[str] = []
        for path in parts:
            header = read_header(path)
            latents |= read_latents(path, names.intersection(header.names))
            without += header.unreadable
        write_latents(piece.path, latents, self.made_by, without)


def parts_folder(piece: Piece) -> Path:
    """Where the batches of a piece are until all are there."""
    return piece.path.with_suffix(".batches")


@contextmanager
def taken(path: Path, timeout: float = 0) -> Iterator[bool]:
    """Take ``path`` for this process until the block, or the process, ends: whether no other had it.

    timeout: seconds to wait for another to end; -1 waits as long as it takes.
    """
    with writing(f"the latents {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path.with_suffix(".lock"), timeout=timeout):
            yield True
    except Timeout:
        yield False
