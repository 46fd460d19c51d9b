"""Text corpora: ``.jsonl`` files with a ``text`` field, or plain files with a document a line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from janusflow.data.config import Task
from janusflow.data.readers.base import Reader
from janusflow.data.readers.files import expand
from janusflow.data.sample import TextSample


class LineFile:
    """A file's lines by number, from their offsets, without holding the text. Blank lines do not count."""

    def __init__(self, path: Path) -> None:
        self.path = path
        offsets, lengths, position = [], [], 0
        try:
            with path.open("rb") as file:
                for line in file:
                    if line.strip():
                        offsets.append(position)
                        lengths.append(len(line))
                    position += len(line)
        except OSError as error:
            raise ValueError(f"cannot read {path}: {error.strerror}") from error
        self.offsets, self.lengths = np.array(offsets, dtype=np.int64), np.array(lengths, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.offsets)

    def __getitem__(self, number: int) -> str:
        """A line. Raises ``ValueError`` with path and number where it is not UTF-8 or the file has gone."""
        try:
            with self.path.open("rb") as file:
                file.seek(int(self.offsets[number]))
                return file.read(int(self.lengths[number])).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.path}, entry {number + 1}: {error}") from error


class Lines:
    """The lines of several files as one sequence."""

    def __init__(self, pattern: str) -> None:
        self.files = [LineFile(path) for path in expand(pattern)]
        self.ends = np.cumsum([len(file) for file in self.files])
        if not len(self):
            raise ValueError(f"{pattern} holds no line")

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, item: int) -> str:
        number = int(np.searchsorted(self.ends, item, side="right"))
        return self.files[number][item - (int(self.ends[number - 1]) if number else 0)]

    def name(self, item: int) -> str:
        """File and entry, for faults."""
        number = int(np.searchsorted(self.ends, item, side="right"))
        return f"{self.files[number].path}, entry {item - (int(self.ends[number - 1]) if number else 0) + 1}"

    def is_json(self, item: int) -> bool:
        """Whether the line is from a ``.jsonl`` file."""
        return self.files[int(np.searchsorted(self.ends, item, side="right"))].path.suffix == ".jsonl"

    def entry(self, item: int) -> dict:
        """The JSON object of a line. Raises ``ValueError`` where it is none."""
        try:
            values = json.loads(self[item])
        except json.JSONDecodeError as error:
            raise ValueError(f"{self.name(item)}: {error}") from error
        if not isinstance(values, dict):
            raise ValueError(f"{self.name(item)} is not a JSON object")
        return values


class TextReader(Reader):
    """A corpus: a path or glob of ``.jsonl`` and plain text files."""

    tasks: tuple[Task, ...] = ("text",)

    def __init__(self, pattern: str) -> None:
        self.lines = Lines(pattern)

    def __len__(self) -> int:
        return len(self.lines)

    def text(self, item: int, rng: np.random.Generator) -> TextSample:
        """A document."""
        text = self.lines.entry(item).get("text") if self.lines.is_json(item) else self.lines[item]
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{self.lines.name(item)} has no text")
        return TextSample(text)
