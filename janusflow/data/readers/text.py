"""Text corpora: ``.jsonl`` files with a ``text`` field, or plain files with a document a line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from janusflow.data.config import Task
from janusflow.data.readers.base import FilesConfig, Reader
from janusflow.data.readers.files import KeptArray, expand
from janusflow.data.sample import TextSample

LARGE = 1 << 24  # bytes of a file whose lines are worth keeping


class LineFile:
    """A file's lines by number, from their offsets, without holding the text. Blank lines do not count."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.places = KeptArray(path, find_lines, ".npy", LARGE)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> str:
        """A line. Raises ``ValueError`` with path and number where it is not UTF-8 or the file has gone."""
        try:
            with self.path.open("rb") as file:
                offset, length = self.places.array[number]
                file.seek(int(offset))
                return file.read(int(length)).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.path}, entry {number + 1}: {error}") from error


def find_lines(path: Path) -> np.ndarray:
    """Offset and length in bytes of every line that is not blank, (lines, 2)."""
    places, position = [], 0
    try:
        with path.open("rb") as file:
            for line in file:
                if line.strip():
                    places.append((position, len(line)))
                position += len(line)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    return np.array(places, dtype=np.int64).reshape(-1, 2)


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
        file, number = self._place(item)
        return file[number]

    def _place(self, item: int) -> tuple[LineFile, int]:
        """The file of a line and its number there."""
        file = int(np.searchsorted(self.ends, item, side="right"))
        return self.files[file], item - (int(self.ends[file - 1]) if file else 0)

    def name(self, item: int) -> str:
        """File and entry, for faults."""
        file, number = self._place(item)
        return f"{file.path}, entry {number + 1}"

    def is_json(self, item: int) -> bool:
        """Whether the line is from a ``.jsonl`` file."""
        return self._place(item)[0].path.suffix == ".jsonl"

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

    Config = FilesConfig
    tasks: tuple[Task, ...] = ("text",)

    def __init__(self, config: FilesConfig) -> None:
        self.lines = Lines(config.path)

    def __len__(self) -> int:
        return len(self.lines)

    def text(self, item: int, rng: np.random.Generator) -> TextSample:
        """A document."""
        text = self.lines.entry(item).get("text") if self.lines.is_json(item) else self.lines[item]
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{self.lines.name(item)} has no text")
        return TextSample(text)
