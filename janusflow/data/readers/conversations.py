"""Listings of images and texts, with a folder of images: LLaVA's conversations, and interleaved documents."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from janusflow.data.config import Task
from janusflow.data.readers.base import ImagesConfig, Reader, check_size
from janusflow.data.readers.text import Lines
from janusflow.data.sample import DocumentSample, UnderstandingSample
from janusflow.pictures import read_image

IMAGE_MARK = "<image>"


@dataclass(kw_only=True)
class ListingConfig(ImagesConfig):
    """Keys of a listing of images."""

    images: str | None = None  # folder of the images (default: beside the file)

    @property
    def folder(self) -> Path:
        return Path(self.path).parent if self.images is None else Path(self.images)

    def check_files(self) -> None:
        super().check_files()
        if self.images is not None and not self.folder.is_dir():
            raise ValueError(f"images: there is no folder {self.images}")


class ConversationReader(Reader):
    """Entries ``{"image": file or list, "conversations": [{"from": "human" | "gpt", "value": text}, …]}``.

    In a JSON list, or JSON lines. Entries without an image are conversations in text. Raises ``ValueError`` where the
    listing cannot be read.
    """

    Config = ListingConfig
    tasks: tuple[Task, ...] = ("understanding",)

    def __init__(self, config: ListingConfig) -> None:
        self.path, self.min_side, self.images = config.path, config.min_side, config.folder
        self.lines = Lines(config.path) if config.path.endswith(".jsonl") else None
        self.listing = None if self.lines is not None else read_list(Path(config.path))

    def __len__(self) -> int:
        return len(self.lines if self.lines is not None else self.listing or [])

    def understanding(self, item: int, rng: np.random.Generator) -> UnderstandingSample | DocumentSample:
        """A conversation with its images."""
        if self.lines is not None:
            entry, name = self.lines.entry(item), self.lines.name(item)
        else:
            assert self.listing is not None
            entry, name = self.listing[item], f"{self.path}, entry {item + 1}"
        if not isinstance(entry, dict):
            raise ValueError(f"{name} is not a JSON object")
        files = entry.get("image") or []
        files = [files] if isinstance(files, str) else files
        if not isinstance(files, list) or not all(isinstance(file, str) for file in files):
            raise ValueError(f"{name}: image is a file name or a list of them, got {files!r}")
        turns = read_turns(entry.get("conversations"), len(files), name)
        images = [read_image(self.images / file) for file in files]
        for file, image in zip(files, images, strict=True):
            check_size(image, self.min_side, file)
        return UnderstandingSample(images, turns)


class DocumentReader(Reader):
    """JSON lines ``{"texts": [text or null, …], "images": [file or null, …]}``: at each place one of the two stands.

    OBELICS stores documents so.
    """

    Config = ListingConfig
    tasks: tuple[Task, ...] = ("understanding",)

    def __init__(self, config: ListingConfig) -> None:
        self.lines, self.min_side, self.images = Lines(config.path), config.min_side, config.folder

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


def read_list(path: Path) -> list[Any]:
    """A JSON list. Raises ``ValueError`` with the path where there is none or it is empty."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    if not isinstance(values, list) or not values:
        raise ValueError(f"{path} does not hold a list of conversations")
    return values


def read_turns(conversations: Any, images: int, name: str) -> list[tuple[str, str]]:
    """(question, answer) turns of LLaVA's ``conversations``. Image marks go: images stand in front of the first turn.

    Raises ``ValueError`` with ``name`` where turns do not alternate, or marks and images differ in number.
    """
    try:
        speakers = [turn["from"] for turn in conversations]
        values = [turn["value"] for turn in conversations]
    except (TypeError, KeyError) as error:
        raise ValueError(f"{name} has no readable conversations: {error!r}") from error
    if not values or len(values) % 2 or speakers != ["human", "gpt"] * (len(values) // 2):
        raise ValueError(f"{name}: turns must alternate between human and gpt, got {speakers}")
    if not all(isinstance(value, str) for value in values) or not all(value.strip() for value in values[1::2]):
        raise ValueError(f"{name} has a turn without text")
    marks = sum(value.count(IMAGE_MARK) for value in values)
    if marks not in (0, images):
        raise ValueError(f"{name} has {marks} image marks for {images} images")
    cleaned = [value.replace(IMAGE_MARK, "").strip() for value in values]
    return list(zip(cleaned[::2], cleaned[1::2], strict=True))
