"""``janusflow encode-latents``: latents or codes of whole sources, once, by any number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from janusflow.data.config import SourceConfig
from janusflow.data.latents import is_complete, write_latents
from janusflow.data.readers.base import CaptionedImages
from janusflow.data.readers.folder import LATENTS, PIECE, FolderReader
from janusflow.data.readers.webdataset import WebDatasetReader, latents_beside
from janusflow.data.sources import open_reader
from janusflow.models.codec import ImageCodec
from janusflow.samplers import Progress


class Piece(NamedTuple):
    """One file of latents and the items that it holds."""

    path: Path
    items: list[int]


class Encoded(NamedTuple):
    """What :func:`encode_source` did."""

    files: list[Path]
    faults: list[str]  # images that cannot be read; they have no latent


def encode_source(
    config: SourceConfig,
    codec: ImageCodec,
    size: int,
    batch_size: int = 8,
    worker: int = 0,
    workers: int = 1,
    progress: Progress | None = None,
) -> Encoded:
    """Store the latents, at ``size`` pixels, of a webdataset or folder source. Files that are complete already stay.

    worker: of ``workers`` processes, each of which encodes its own files. progress: ``progress(done, total)`` counts
    images. Raises ``ValueError`` for a source without images of its own, or where a file cannot be written.
    """
    reader = open_reader(config)
    own = pieces(reader)[worker::workers]
    assert isinstance(reader, CaptionedImages)
    total, done = sum(len(piece.items) for piece in own), 0
    faults: list[str] = []

    def images(piece: Piece, unreadable: list[str]) -> Iterator[tuple[str, Image.Image]]:
        nonlocal done
        for item in piece.items:
            try:
                yield reader.name(item), reader.fitting_image(item)
            except ValueError as error:
                faults.append(str(error))
                unreadable.append(reader.name(item))
            done += 1
            if progress is not None:
                progress(done, total)

    for piece in own:
        if is_complete(piece.path, codec, size, map(reader.name, piece.items)):
            done += len(piece.items)
        else:
            piece.path.parent.mkdir(exist_ok=True)
            unreadable: list[str] = []
            write_latents(piece.path, images(piece, unreadable), codec, size, batch_size, unreadable)
    return Encoded([piece.path for piece in own], faults)


def pieces(reader: object) -> list[Piece]:
    """The files of latents of a reader: one beside each shard, or one for each ``PIECE`` images of a folder."""
    if isinstance(reader, FolderReader):
        starts = range(0, len(reader), PIECE)
        folder = reader.folder / LATENTS
        return [
            Piece(folder / f"{n:05d}.safetensors", list(range(start, min(start + PIECE, len(reader)))))
            for n, start in enumerate(starts)
        ]
    if isinstance(reader, WebDatasetReader):
        by_shard: dict[Path, list[int]] = {}
        for item, entry in enumerate(reader.entries):
            by_shard.setdefault(entry.shard, []).append(item)
        return [Piece(latents_beside(shard), items) for shard, items in by_shard.items()]
    raise ValueError("latents are stored for webdataset and folder sources only")
