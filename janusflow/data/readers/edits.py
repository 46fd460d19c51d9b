"""Edits: images before and after, with the instruction between them, as InstructPix2Pix and MagicBrush have them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from janusflow.data.config import Task
from janusflow.data.readers.base import Reader, check_size, text_list
from janusflow.data.readers.conversations import ListingConfig
from janusflow.data.readers.text import Lines
from janusflow.data.sample import GenerationSample
from janusflow.pictures import read_image

LISTING = "edits.jsonl"
EXAMPLE = '{"source": "a.jpg", "target": "b.jpg", "instruction": "make it snow"}'
ALIKE = 0.02  # how far the aspect ratios of an edit may differ


class EditsReader(Reader):
    """JSON lines ``{"source": file, "target": file, "instruction": text or list}``, in a file or a folder's
    ``edits.jsonl``; files are relative to its folder, or to that of ``images``.

    Raises ``ValueError`` where the listing cannot be read.
    """

    @dataclass(kw_only=True)
    class Config(ListingConfig):
        @property
        def listing(self) -> str:
            """The file, or the pattern of files."""
            return str(Path(self.path) / LISTING) if Path(self.path).is_dir() else self.path

        @property
        def folder(self) -> Path:
            return Path(self.listing).parent if self.images is None else Path(self.images)

        def check_files(self) -> None:
            super().check_files()
            if Path(self.path).is_dir() and not Path(self.listing).is_file():
                raise ValueError(f"path: there is no {LISTING} in {self.path}, with lines such as {EXAMPLE}")

    tasks: tuple[Task, ...] = ("editing",)

    def __init__(self, config: Config) -> None:
        self.lines, self.min_side, self.images = Lines(config.listing), config.min_side, config.folder

    def __len__(self) -> int:
        return len(self.lines)

    def editing(self, item: int, rng: np.random.Generator) -> GenerationSample:
        """The target behind its source and one of its instructions."""
        entry, name = self.lines.entry(item), self.lines.name(item)
        files = [entry.get(key) for key in ("source", "target")]
        texts = text_list(entry.get("instruction"))
        if texts is None or not all(isinstance(file, str) for file in files):
            raise ValueError(f"{name} is not of the form {EXAMPLE}")
        texts = [text.strip() for text in texts if text.strip()]
        if not texts:
            raise ValueError(f"{name} has no instruction")
        source, target = (self.image(str(file)) for file in files)
        if abs(source.width / source.height / (target.width / target.height) - 1) > ALIKE:
            raise ValueError(
                f"{name}: {files[0]} has {source.width} x {source.height} pixels and {files[1]} {target.width} x "
                f"{target.height}, which is no edit of it"
            )
        return GenerationSample(target, texts[rng.integers(len(texts))], images=[source])

    def image(self, file: str) -> Image.Image:
        """An image of the listing, unless its size is absurd or below what is wanted."""
        image = read_image(self.images / file)
        check_size(image, self.min_side, file)
        return image
