"""``janusflow encode-latents``: latents or codes of whole sources, once, by any number of processes.

A batch is what a process takes at a time and what is lost at most when it is killed: each is a file of its own in a
folder beside the file of latents to come, and whoever finishes the last one puts them together. Which images make a
batch depends on nothing but its size, so that the result is the same bytes however the work was interrupted and shared.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from filelock import FileLock, Timeout
from PIL import Image
from torch import Tensor

from janusflow.codecs.base import ImageCodec
from janusflow.data.config import SourceConfig
from janusflow.data.latents import is_complete, read_header, read_latents, write_latents
from janusflow.data.readers.base import CaptionedImages, Piece
from janusflow.data.sources import open_reader
from janusflow.data.transforms import generation_pixels
from janusflow.progress import Progress
from janusflow.weights import writing


class Encoded(NamedTuple):
    """What :func:`encode_source` did."""

    files: list[Path]  # where the latents are; other processes may still be at the last ones
    faults: list[str]  # images that it could not read; they have no latent


def encode_source(
    config: SourceConfig, codec: ImageCodec, size: int, batch_size: int = 8, progress: Progress | None = None
) -> Encoded:
    """Store the latents, at ``size`` pixels, of a source of captioned images. What is stored already stays.

    Any number of processes may do the same at once: each encodes the batches that no other has or has taken.
    progress: ``progress(done, total)`` counts images. Raises ``ValueError`` for a source without images of its own, or
    where a file cannot be written.
    """
    reader = open_reader(config)
    if not isinstance(reader, CaptionedImages):
        raise ValueError(f"latents are stored for images with captions, which {config.kind} sources are not")
    encoder = Encoder(reader, codec, size, batch_size)
    done = 0

    def count(images: int) -> None:
        nonlocal done
        done += images
        if progress is not None:
            progress(done, len(reader))

    pieces = reader.pieces()
    for piece in pieces:
        encoder.encode(piece, count)
    return Encoded([piece.path for piece in pieces], encoder.faults)


class Encoder:
    """Encodes the pieces of one source, batch by batch."""

    def __init__(self, reader: CaptionedImages, codec: ImageCodec, size: int, batch_size: int) -> None:
        self.reader, self.codec, self.size, self.batch_size = reader, codec, size, batch_size
        self.faults: list[str] = []

    def encode(self, piece: Piece, count: Callable[[int], None]) -> None:
        """Encode the batches of ``piece`` that are missing and not taken; ``count`` is told of the images passed."""
        if self.is_stored(piece):
            count(len(piece.items))
            return
        for batch in self.batches(piece):
            with taken(batch.path) as free:
                if free and not self.is_stored(batch) and not self.is_stored(piece):
                    self.write(batch)
            count(len(batch.items))
        self.finish(piece)

    def batches(self, piece: Piece) -> list[Piece]:
        """Equal parts of a piece, the last one shorter; each with a file of its own in the piece's folder."""
        starts = range(0, len(piece.items), self.batch_size)
        parts = [piece.items[start : start + self.batch_size] for start in starts]
        return [Piece(parts_folder(piece) / f"{part[0]:08d}.safetensors", part) for part in parts]

    def is_stored(self, piece: Piece) -> bool:
        """Whether all latents of a piece, or of a batch, are in its file."""
        return is_complete(piece.path, self.codec, self.size, map(self.reader.name, piece.items))

    def write(self, batch: Piece) -> None:
        """Encode one batch into its file."""
        unreadable: list[str] = []
        images = dict(self.images(batch, unreadable))
        latents: dict[str, Tensor] = {}
        if images:
            pixels = torch.stack([generation_pixels(image, self.size) for image in images.values()])
            encoded = self.codec.encode(pixels.to(self.codec.device)).cpu().contiguous()
            latents = {name: latent.clone() for name, latent in zip(images, encoded, strict=True)}
        write_latents(batch.path, latents, self.codec, self.size, unreadable)

    def images(self, batch: Piece, unreadable: list[str]) -> Iterator[tuple[str, Image.Image]]:
        """The images that can be read, by name; the names of the others are added to ``unreadable``."""
        for item in batch.items:
            try:
                yield self.reader.name(item), self.reader.fitting_image(item)
            except ValueError as error:
                self.faults.append(str(error))
                unreadable.append(self.reader.name(item))

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
        names = set(map(self.reader.name, piece.items))  # a batch that was larger may hold others
        latents: dict[str, Tensor] = {}
        unreadable: list[str] = []
        for path in parts:
            header = read_header(path)
            latents |= read_latents(path, names.intersection(header.names))
            unreadable += header.unreadable
        write_latents(piece.path, latents, self.codec, self.size, unreadable)


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
