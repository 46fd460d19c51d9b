"""A result folder: the settings that it was begun with, and the finished items of every stage.

A run that is killed at any moment repeats and loses no item. What was drawn and answered depends on the settings.

A shard appends to a file of its own: a line of JSON an item, ``STAGE-I-of-N.jsonl``, and where an item has features,
a row of ``STAGE-I-of-N.f32``. The line is written after the row, so an item counts once it is whole.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from eval.files import read_json

Record = dict[str, Any]
DRAWN, ANSWERED, JUDGED = "drawn", "answers", "judged"  # stages
PICTURES = "pictures"  # folder of what was drawn
ROW = "row"  # key of a line: the index of its row of features, and their width
LIMIT = "limit"  # key of a line: of which limit's batch an item was a part, where there was one
TIME = "time"  # key of a line: nanoseconds since 1970, so that of two shards' lines the later one counts


@dataclass(frozen=True)
class Shard:
    """Which part of the work a process does: number ``index`` of ``count``, from 0."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Of ``"I/N"``. Raises ``ValueError`` unless 0 <= I < N."""
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise ValueError(f"a shard is I/N with I from 0 to N-1, such as 0/4, not {text!r}")
        return cls(int(index), int(count))

    def __str__(self) -> str:
        return f"{self.index}-of-{self.count}"


ESCAPED = "backslashreplace"  # halves of characters, which UTF-8 has no bytes for, as JSON escapes them
PART = ".part"  # ends the names of files that are being written
WHOLE = Shard()
SETTINGS = "settings.json"
FREE = ("libraries", "reconstructions")  # of a model's description: may differ when a run goes on
FREE_OF_ALL = ("machine", "libraries")  # likewise, of the settings


class OtherSettings(ValueError):
    """A folder holds results of other settings."""


class Entry(NamedTuple):
    """A finished item."""

    record: Record
    features: np.ndarray | None = None  # (C,) float32


class Store:
    """The finished items of one stage in ``folder``: those of all shards to read, those of one to add.

    Under a ``limit`` items have other neighbours in their batches, and a network's last bits may depend on them: so
    items of another limit are not there, and are done again by a run without one.
    Use it as a context: it holds its shard's files. Raises ``ValueError`` where another process holds them.
    """

    def __init__(self, folder: Path, stage: str, shard: Shard, limit: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.stage, self.limit = folder, stage, limit
        self.path = folder / f"{stage}-{shard}.jsonl"
        self.rows_path = self.path.with_suffix(".f32")
        self._lock = FileLock(self.path.with_suffix(".lock"), timeout=0)

    def __enter__(self) -> Store:
        try:
            self._lock.acquire()
        except Timeout as error:
            raise ValueError(f"another process is writing {self.path}") from error
        try:
            self._cut_torn_end()
            self.entries = read_stage(self.folder, self.stage, self.limit)
        except ValueError:
            self._lock.release()
            raise
        self._lines: IO[bytes] = self.path.open("ab")
        self._rows: IO[bytes] = self.rows_path.open("ab")
        return self

    def __exit__(self, *error: object) -> None:
        self._lines.close()
        self._rows.close()
        if not self.rows_path.stat().st_size:
            self.rows_path.unlink()
        self._lock.release()

    def add(self, entries: Mapping[str, Entry]) -> None:
        """Keep these items. Those of an id that is there already take its place."""
        lines = []
        for name, entry in entries.items():
            line = {"id": name, TIME: time.time_ns(), **entry.record}
            if self.limit is not None:
                line[LIMIT] = self.limit
            if entry.features is not None:
                row = np.ascontiguousarray(entry.features, dtype=np.float32)
                line[ROW] = [self._rows.tell() // (4 * len(row)), len(row)]
                self._rows.write(row.tobytes())
            lines.append(json.dumps(line, ensure_ascii=False) + "\n")
        try:
            self._rows.flush()
            self._lines.write("".join(lines).encode(errors=ESCAPED))
            self._lines.flush()
        except OSError as error:
            raise ValueError(f"cannot write {self.path}: {error.strerror}") from error
        self.entries.update(entries)

    def _cut_torn_end(self) -> None:
        """Remove what a killed process left half written: a line without its end, rows without their line."""
        if not self.path.exists():
            self.rows_path.unlink(missing_ok=True)
            return
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with self.path.open("r+b") as file:
                file.truncate(whole)
        if self.rows_path.exists():
            lines = _parse(self.path, content[:whole].split(b"\n")[:-1])
            used = max((4 * width * (row + 1) for line in lines for row, width in [line.get(ROW, (-1, 0))]), default=0)
            if self.rows_path.stat().st_size < used:
                raise ValueError(f"{self.rows_path} is shorter than {self.path.name} says: remove both")
            with self.rows_path.open("r+b") as file:
                file.truncate(used)


def read_stage(folder: Path, stage: str, limit: int | None = None) -> dict[str, Entry]:
    """The finished items of all shards: id -> entry, features as views of their files; the latest line of an id wins.

    Those of a run without a limit, and of one of ``limit``.
    Raises ``ValueError`` for a line that is damaged other than by a process that is still writing it.
    """
    found: dict[str, tuple[int, Entry]] = {}
    for path in sorted(folder.glob(f"{stage}-*-of-*.jsonl")):
        table: np.ndarray | None = None
        with path.open("rb") as file:
            whole = (line for line in file if line.endswith(b"\n"))  # a process may be writing the last one
            for record in _parse(path, whole):
                name, when = record.pop("id"), record.pop(TIME)
                if record.pop(LIMIT, None) not in (None, limit):
                    continue
                features = None
                if ROW in record:
                    row, width = record.pop(ROW)
                    if table is None or row >= len(table):
                        table = _open_rows(path, row, width)
                    features = table[row]
                if name not in found or found[name][0] <= when:
                    found[name] = when, Entry(record, features)
    return {name: entry for name, (_, entry) in found.items()}


def _parse(path: Path, lines: Iterable[bytes]) -> Iterator[Record]:
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            row, width = record.get(ROW, (0, 1))
            whole = isinstance(record["id"], str) and isinstance(record[TIME], int) and row >= 0 and width > 0
        except (ValueError, KeyError, TypeError, AttributeError):
            whole = False
        if not whole:
            raise ValueError(f"{path}, line {number} is damaged: remove it, and its item is done again")
        yield record


def _open_rows(path: Path, row: int, width: int) -> np.ndarray:
    """The rows (R, C) beside a file of lines. Raises ``ValueError`` where row number ``row`` is not there."""
    rows_path = path.with_suffix(".f32")
    rows = rows_path.stat().st_size // (4 * width) if rows_path.exists() else 0
    if row >= rows:
        raise ValueError(f"{rows_path} is shorter than {path.name} says: remove both")
    return np.memmap(rows_path, np.float32, "r", shape=(rows, width))


def write_json(path: Path, content: Any) -> None:
    """Write JSON under another name first: a file of the right name is whole. Raises ``ValueError`` where it cannot."""
    unfinished = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}{PART}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        unfinished.write_text(text, encoding="utf-8", errors=ESCAPED)
        unfinished.replace(path)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}") from error


def claim(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that ``folder`` was begun with, and they must be these; a new folder takes them.

    Raises :class:`OtherSettings` that names what differs, and ``ValueError`` for a folder of something else.
    """
    path = folder / SETTINGS
    settings = json.loads(json.dumps(settings))  # as it comes back from a file
    if not path.exists():
        held = folder.is_dir() and any(one.suffix != PART for one in folder.iterdir())
        if held and not path.exists():  # another process may have begun the folder just now
            raise ValueError(f"{folder} is not empty and holds no results: choose another --out")
        if not held:
            write_json(path, settings)
            return settings
    before = read_settings(path)
    different = sorted(set(differences(before, settings)))
    if different:
        instead = ", or score its pictures with --images" if before.get("judge") else ""
        raise OtherSettings(
            f"{folder} holds results of other settings ({', '.join(different)}): choose another --out{instead}"
        )
    return before


def differences(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """The names of settings that differ, those of the model with a dot."""
    for name in {*before, *now} - set(FREE_OF_ALL):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            free = FREE if name == "model" else ()
            yield from (f"{name}.{key}" for key in {*old, *new} if old.get(key) != new.get(key) and key not in free)
        elif old != new:
            yield name


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a file. Raises ``ValueError`` where they are none."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no settings")
    return content


def drawn_by(images: Path | None) -> Any:
    """What drew a folder of pictures, where it is that of a result; else None."""
    try:
        model = read_settings(images.parent / SETTINGS).get("model") if images else None
    except ValueError:
        return None  # none, or somebody else's file of that name
    return model if isinstance(model, dict) and {"checkpoint", "resolution", "dtype"} <= model.keys() else None
