"""A folder of images with captions: our listing, the hub's for an ``imagefolder``, or a text file beside each image."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from janusflow.data.pieces import Piece, split
from janusflow.data.readers.base import CaptionedImages, text_list
from janusflow.data.readers.webdataset import IMAGES
from janusflow.pictures import read_image

LISTING = "captions.jsonl"
METADATA = ("metadata.jsonl", "metadata.csv")  # the hub's, also in subfolders; files are relative to their own folder
FORMS = {  # the fields of a listing's lines, by its ending: file, and captions
    LISTING: ("file", "captions", '{"file": "cat.jpg", "captions": ["a cat"]}'),
    "metadata.jsonl": ("file_name", "text", '{"file_name": "cat.jpg", "text": "a cat"}'),
    "metadata.csv": ("file_name", "text", "file_name,text"),
}
LATENTS = "latents"  # folder of stored latents inside the image folder
PIECE = 1024  # images in one of its files

Item = tuple[Path, list[str] | None]  # an image and its captions; None: in the text file beside it


class FolderReader(CaptionedImages):
    """An image folder. Raises ``ValueError`` with path and line where the listing is missing or damaged."""

    def __init__(self, config: CaptionedImages.Config) -> None:
        self.folder = Path(config.path)
        self.items = find_items(self.folder, config.captioned)
        super().__init__(config)

    def __len__(self) -> int:
        return len(self.items)

    def name(self, item: int) -> str:
        return self.items[item][0].relative_to(self.folder).as_posix()

    def image(self, item: int) -> Image.Image:
        return read_image(self.items[item][0])

    def captions(self, item: int) -> Sequence[str]:
        image, captions = self.items[item]
        if captions is not None:
            return captions
        text = image.with_suffix(".txt")
        try:
            return [text.read_text(encoding="utf-8-sig")]
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.name(item)} has no caption: cannot read {text}: {error}") from error

    def pieces(self) -> list[Piece]:
        """A file of latents for each 1,024 images."""
        return split(len(self), PIECE, self.folder / LATENTS)

    def latent_files(self) -> list[Path]:
        files = sorted((self.folder / LATENTS).glob("*.safetensors"))
        if not files:
            raise ValueError(f"no latents in {self.folder / LATENTS}: make them with janusflow encode-latents")
        return files


def find_items(folder: Path, captioned: bool = True) -> list[Item]:
    """The images of a folder, by ``captions.jsonl``, else by the hub's listings, else those beside text files.

    captioned: where it is false, images alone will do. Raises ``ValueError`` where there is none of these, or a listing
    is empty or damaged.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    listings = [folder / LISTING] if (folder / LISTING).exists() else []
    listings = listings or sorted(path for name in METADATA for path in folder.rglob(name))
    if listings:
        return [item for listing in listings for item in read_listing(listing)]
    images = sorted(path for path in folder.rglob("[!.]*.*") if path.suffix[1:].lower() in IMAGES)
    if not images and not captioned:
        raise ValueError(f"{folder} holds no image")
    if captioned and not any(image.with_suffix(".txt").is_file() for image in images):
        forms = [f"{name} with lines such as {FORMS[name][2]}" for name in (LISTING, METADATA[0])]
        raise ValueError(
            f"{folder} has no captions: it needs {', '.join(forms)}, or cat.txt beside cat.jpg; "
            "or none, for tasks: [reconstruction]"
        )
    return [(image, None) for image in images]


def read_listing(listing: Path) -> list[Item]:
    """Paths and captions of a listing. Raises ``ValueError`` where it is empty or damaged."""
    file, text, example = FORMS[listing.name]
    items: list[Item] = []
    for number, read in read_rows(listing):
        try:
            row = read if isinstance(read, dict) else json.loads(read)
            path, captions = listing.parent / row[file], text_list(row[text])
            if captions is None:
                raise TypeError(row[text])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{listing}, line {number} is not of the form {example}: {error!r}") from error
        if not captions or not path.is_file():
            raise ValueError(f"{listing}, line {number}: {path} is missing or has no caption")
        items.append((path, captions))
    if not items:
        raise ValueError(f"{listing} lists no image")
    return items


def read_rows(listing: Path) -> Iterator[tuple[int, Any]]:
    """The lines that are not blank, with their numbers: text of JSON lines, the fields of CSV."""
    try:
        with listing.open(encoding="utf-8-sig", newline="") as file:
            if listing.suffix == ".csv":
                rows = csv.DictReader(file)
                yield from ((rows.line_num, row) for row in rows)
            else:
                yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"cannot read {listing}: {error}") from error
