"""``janusflow encode-latents``: latents or codes of whole sources, once, by any number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from janusflow.codecs.base import ImageCodec
from janusflow.data.buckets import nearest
from janusflow.data.config import SourceConfig
from janusflow.data.latents import DrawnSize, signature
from janusflow.data.pieces import Piece, Pieces
from janusflow.data.readers.base import CaptionedImages
from janusflow.data.sources import open_reader
from janusflow.data.transforms import generation_pixels
from janusflow.progress import Progress


class Encoded(NamedTuple):
    """What :func:`encode_source` did."""

    files: list[Path]  # where the latents are; other processes may still be at the last ones
    faults: list[str]  # images that it could not read; they have no latent


def encode_source(
    config: SourceConfig, codec: ImageCodec, size: DrawnSize, batch_size: int = 8, progress: Progress | None = None
) -> Encoded:
    """Store the latents of a source of captioned images. What is stored already stays.

    size: pixels of a side, or shapes (height, width), of which each image takes the nearest as a run's
    ``data.buckets``.

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
        encoder.run(piece, count)
    return Encoded([piece.path for piece in pieces], encoder.faults)


class Encoder(Pieces):
    """Encodes the pieces of one source."""

    def __init__(self, reader: CaptionedImages, codec: ImageCodec, size: DrawnSize, batch_size: int) -> None:
        super().__init__(signature(codec, size), batch_size)
        self.reader, self.codec = reader, codec
        self.shapes = [(size, size)] if isinstance(size, int) else [(height, width) for height, width in size]
        self.faults: list[str] = []

    def name(self, item: int) -> str:
        return self.reader.name(item)

    def make(self, batch: Piece) -> tuple[dict[str, Tensor], list[str]]:
        unreadable: list[str] = []
        images = dict(self.images(batch, unreadable))
        found: dict[str, Tensor] = {}
        of = {name: nearest(self.shapes, *image.size) for name, image in images.items()}
        for number, shape in enumerate(self.shapes):
            own = [name for name in images if of[name] == number]
            if own:
                pixels = torch.stack([generation_pixels(images[name], shape) for name in own])
                encoded = self.codec.encode(pixels.to(self.codec.device)).cpu().contiguous()
                found |= {name: latent.clone() for name, latent in zip(own, encoded, strict=True)}
        return {name: found[name] for name in images}, unreadable

    def images(self, batch: Piece, unreadable: list[str]) -> Iterator[tuple[str, Image.Image]]:
        """The images that can be read, by name; the names of the others are added to ``unreadable``."""
        for item in batch.items:
            try:
                yield self.reader.name(item), self.reader.fitting_image(item)
            except ValueError as error:
                self.faults.append(str(error))
                unreadable.append(self.reader.name(item))
