"""Conversations about images as LLaVA stores them: a JSON list or JSON lines, and a folder of images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from janusflow.data.config import Task
from janusflow.data.readers.base import Reader, check_size
from janusflow.data.readers.text import Lines
from janusflow.data.sample import DocumentSample, UnderstandingSample
from janusflow.pictures import read_image

IMAGE_MARK = "<image>"


class ConversationReader(Reader):
    """Entries ``{"image": file or list, "conversations": [{"from": "human" | "gpt", "value": text}, …]}``.

    Entries without an image are conversations in text. Raises ``ValueError`` where the listing cannot be read.
    """

    tasks: tuple[Task, ...] = ("understanding",)

    def __init__(self, path: str, images: str | Path | None = None, min_side: int = 0) -> None:
        self.path, self.min_side = path, min_side
        self.images = Path(images) if images is not None else Path(path).parent
        self.lines = Lines(path) if path.endswith(".jsonl") else None
        self.listing = None if self.lines is not None else read_list(Path(path))

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
