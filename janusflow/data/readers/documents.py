"""Interleaved documents: JSON lines with parallel lists of texts and images, as OBELICS stores them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from janusflow.data.config import Task
from janusflow.data.readers.base import Reader, check_size
from janusflow.data.readers.text import Lines
from janusflow.data.sample import DocumentSample, UnderstandingSample
from janusflow.pictures import read_image


class DocumentReader(Reader):
    """Entries ``{"texts": [text or null, …], "images": [file or null, …]}``: at each place one of the two stands."""

    tasks: tuple[Task, ...] = ("understanding",)

    def __init__(self, pattern: str, images: str | Path | None = None, min_side: int = 0) -> None:
        self.lines = Lines(pattern)
        self.images = Path(images) if images is not None else Path(pattern).parent
        self.min_side = min_side

    def __len__(self) -> int:
        return len(self.lines)

    def understanding(self, item: int, rng: np.random.Generator) -> UnderstandingSample | DocumentSample:
        """A document in reading order."""
        entry, name = self.lines.entry(item), self.lines.name(item)
        texts, files = entry.get("texts"), entry.get("images")
        if not isinstance(texts, list) or not isinstance(files, list) or len(texts) != len(files) or not texts:
            raise ValueError(f"{name} needs texts and images of equal length")
        segments: list[str | Image.Image] = []
        for text, file in zip(texts, files, strict=True):
            if (text is None) == (file is None):
                raise ValueError(f"{name}: at each place stands either a text or an image")
            if not isinstance(file if text is None else text, str):
                raise ValueError(f"{name}: texts and images are strings, got {file if text is None else text!r}")
            if file is None:
                segments.append(text)
            else:
                image = read_image(self.images / file)
                check_size(image, self.min_side, file)
                segments.append(image)
        if not any(isinstance(segment, str) and segment.strip() for segment in segments):
            raise ValueError(f"{name} has no text")
        return DocumentSample(segments)
