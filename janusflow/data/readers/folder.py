"""A folder of images with captions: ``captions.jsonl`` beside the images, one ``{"file", "captions"}`` a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from janusflow.data.latents import LatentCache
from janusflow.data.readers.base import CaptionedImages, Piece
from janusflow.pictures import read_image

LISTING = "captions.jsonl"
LATENTS = "latents"  # folder of stored latents inside the image folder
PIECE = 1024  # images in one of its files


class FolderReader(CaptionedImages):
    """An image folder. Raises ``ValueError`` with path and line where the listing is missing or damaged."""

    def __init__(self, folder: str | Path, min_side: int = 0, cached_latents: bool = False) -> None:
        self.folder = Path(folder)
        super().__init__(min_side, LatentCache(latent_files(self.folder)) if cached_latents else None)
        self.items = read_listing(self.folder)

    def __len__(self) -> int:
        return len(self.items)

    def name(self, item: int) -> str:
        return self.items[item][0].relative_to(self.folder).as_posix()

    def image(self, item: int) -> Image.Image:
        return read_image(self.items[item][0])

    def captions(self, item: int) -> Sequence[str]:
        return self.items[item][1]

    def pieces(self) -> list[Piece]:
        """A file of latents for each 1,024 images."""
        starts = range(0, len(self), PIECE)
        items = [range(start, min(start + PIECE, len(self))) for start in starts]
        return [Piece(self.folder / LATENTS / f"{n:05d}.safetensors", part) for n, part in enumerate(items)]


def latent_files(folder: Path) -> list[Path]:
    """The stored latents of a folder. Raises ``ValueError`` where there are none."""
    files = sorted((folder / LATENTS).glob("*.safetensors"))
    if not files:
        raise ValueError(f"no latents in {folder / LATENTS}: make them with janusflow encode-latents")
    return files


def read_listing(folder: Path) -> list[tuple[Path, list[str]]]:
    """Paths and captions of a folder. Raises ``ValueError`` where its listing is missing, empty or damaged."""
    listing = folder / LISTING
    try:
        lines = listing.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {listing}: {error}") from error
    items = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            path, captions = folder / entry["file"], entry["captions"]
            captions = [captions] if isinstance(captions, str) else captions
            if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
                raise TypeError(captions)
        except (ValueError, KeyError, TypeError) as error:
            wanted = '{"file": "name.jpg", "captions": ["…"]}'
            raise ValueError(f"{listing}, line {number} is not of the form {wanted}: {error!r}") from error
        if not captions or not path.is_file():
            raise ValueError(f"{listing}, line {number}: {path} is missing or has no caption")
        items.append((path, captions))
    if not items:
        raise ValueError(f"{listing} lists no image")
    return items
