"""``janusflow encode-latents``: latents or codes of whole sources, once, by any number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from janusflow.codecs.base import ImageCodec
from janusflow.data.config import SourceConfig
from janusflow.data.latents import signature
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
        encoder.run(piece, count)
    return Encoded([piece.path for piece in pieces], encoder.faults)


class Encoder(Pieces):
    """Encodes the pieces of one source."""

    def __init__(self, reader: CaptionedImages, codec: ImageCodec, size: int, batch_size: int) -> None:
        super().__init__(signature(codec, size), batch_size)
        self.reader, self.codec, self.size = reader, codec, size
        self.faults: list[str] = []

    def name(self, item: int) -> str:
        return self.reader.name(item)

    def make(self, batch: Piece) -> tuple[dict[str, Tensor], list[str]]:
        unreadable: list[str] = []
        images = dict(self.images(batch, unreadable))
        if not images:
            return {}, unreadable
        pixels = torch.stack([generation_pixels(image, self.size) for image in images.values()])
        encoded = self.codec.encode(pixels.to(self.codec.device)).cpu().contiguous()
        return {name: latent.clone() for name, latent in zip(images, encoded, strict=True)}, unreadable

    def images(self, batch: Piece, unreadable: list[str]) -> Iterator[tuple[str, Image.Image]]:
        """The images that can be read, by name; the names of the others are added to ``unreadable``."""
        for item in batch.items:
            try:
                yield self.reader.name(item), self.reader.fitting_image(item)
            except ValueError as error:
                self.faults.append(str(error))
                unreadable.append(self.reader.name(item))
