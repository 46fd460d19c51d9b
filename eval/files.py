"""The benchmarks' own files: folders and hub data sets, records of JSON and tables, images; errors name the place."""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from janusflow.hub import download, is_hub_id

if TYPE_CHECKING:
    from eval.task import Need

LONGEST_CELL = 2**31 - 1  # characters; the csv module's own limit is below the size of an image


@dataclass(frozen=True)
class Row:
    """A record of a file, a JSON object or a table's row, and where it stands. Raises ``ValueError`` for other JSON."""

    where: str
    values: dict[str, Any]

    def __post_init__(self) -> None:
        if not isinstance(self.values, dict):
            raise ValueError(f"{self.where} is no object: {str(self.values)[:80]!r}")

    def take(self, **kinds: type | tuple[type, ...]) -> list[Any]:
        """The named values, in order. Raises ``ValueError`` where one is missing, blank or of another type.

        In JSON, unlike in Python, true is no number; nor is NaN.
        """
        for name, kind in kinds.items():
            value = self.values.get(name)
            if value is None or (isinstance(value, str) and not value.strip()):
                raise ValueError(f"{self.where} has no {name!r}")
            if not isinstance(value, kind) or isinstance(value, bool) or value != value:
                raise ValueError(f"{self.where} has an unusable {name!r}: {str(value)[:80]!r}")
        return [self.values[name] for name in kinds]

    def take_texts(self, name: str) -> list[str]:
        """A list of texts that holds any. Raises ``ValueError`` for anything else."""
        texts: Any = self.values.get(name)
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{self.where} has no list of {name}")
        return texts


def find_data(given: str | None, task: str, needs: Sequence[Need]) -> Path:
    """The folder of a benchmark: ``given`` itself, or the download of the hub data set that it names.

    Raises ``ValueError`` without ``given`` (saying where the files are) and for what is neither.
    """
    if given is None:
        where = "; ".join(f"{need.what}: {need.where} ({need.size})" for need in needs)
        raise ValueError(f"{task} needs --data: {where}")
    path = Path(given)
    if path.is_dir():
        return path
    if path.exists() or not is_hub_id(given):
        raise ValueError(f"there is no folder {given}")
    return download(given, kind="dataset")


def find_file(folder: Path, *names: str) -> Path:
    """The first of ``names`` (globs, ``**`` for any depth) in a folder. Raises ``ValueError`` where there is none."""
    for name in names:
        for path in sorted(folder.glob(name)):
            return path
    raise ValueError(f"{folder} holds no {' or '.join(names)}")


def find_data_file(given: str | None, task: str, needs: Sequence[Need], *names: str) -> Path:
    """A benchmark's file: ``given`` itself, or the first of ``names`` (as in :func:`find_file`) in its folder."""
    if given is not None and Path(given).is_file():
        return Path(given)
    return find_file(find_data(given, task, needs), *names)


def find_folder(path: Path) -> Path:
    """``path``. Raises ``ValueError`` where it is no folder."""
    if not path.is_dir():
        raise ValueError(f"there is no folder {path}")
    return path


def find_images(
    folder: Path, names: Iterable[str], places: Sequence[str], suffixes: Sequence[str] = ("",)
) -> dict[str, Path]:
    """Image files by name, each with the first suffix in the first of the subfolders ``places`` that holds it.

    Raises ``ValueError`` with the first missing one and their number.
    """
    roots = [folder / place for place in places if (folder / place).is_dir()]
    found = {
        name: next((p for root in roots for suffix in suffixes if (p := root / f"{name}{suffix}").is_file()), None)
        for name in dict.fromkeys(names)
    }
    missing = [name for name, path in found.items() if path is None]
    if missing:
        where = " or ".join(place or "itself" for place in places)
        raise ValueError(
            f"{len(missing)} of {len(found)} images are missing in {folder} ({where}), such as {missing[0]}"
        )
    return {name: path for name, path in found.items() if path is not None}


def read_text(path: Path) -> str:
    """A text file. Raises ``ValueError`` with its name where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises ``ValueError`` with its name where it is none, or holds a key twice."""
    text = read_text(path)
    try:
        return _parse(text)
    except ValueError as error:
        raise ValueError(f"cannot read {path}: {error}") from error


def read_json_lines(path: Path) -> list[Any]:
    """The values of a JSON lines file; blank lines are nothing.

    Raises ``ValueError``, with the line's number, for one that is no JSON or holds a key twice.
    """
    found = []
    for number, line in enumerate(read_text(path).split("\n"), 1):  # not splitlines: a string may hold such breaks
        if line.strip():
            try:
                found.append(_parse(line))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
    return found


def read_rows(path: Path, key: str | None = None, lines: bool = False) -> list[Row]:
    """The records of a JSON list, below ``key`` if it is given, or of JSON ``lines``.

    Raises ``ValueError`` for anything else, and for none.
    """
    content = read_json_lines(path) if lines else read_json(path)
    if key:
        content = content.get(key) if isinstance(content, dict) else None
    if not isinstance(content, list) or not content:
        raise ValueError(f"{path} holds no list of {key or 'records'}")
    return [Row(f"{path}, record {number}", value) for number, value in enumerate(content, 1)]


def read_table(path: Path) -> dict[str, Row]:
    """The records of a JSON file that holds an object of them. Raises ``ValueError`` for all else, and for none."""
    content = read_json(path)
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path} holds no object of records")
    return {name: Row(f"{path}, {name!r}", value) for name, value in content.items()}


def read_csv(path: Path, delimiter: str = ",") -> list[Row]:
    """The rows of a table by column name; cells may hold quotes and line breaks.

    Raises ``ValueError`` where the file cannot be read, holds none, or a row has not one cell for every column.
    """
    before = csv.field_size_limit(LONGEST_CELL)
    rows = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = next(reader, [])
            if not header or len(set(header)) != len(header):
                raise ValueError(f"its first line holds no column names, or one twice: {header}")
            for cells in filter(None, reader):  # but for blank lines
                if len(cells) != len(header):
                    raise ValueError(f"line {reader.line_num} has {len(cells)} cells for {len(header)} columns")
                rows.append(Row(f"{path}, line {reader.line_num}", dict(zip(header, cells, strict=True))))
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    finally:
        csv.field_size_limit(before)
    if not rows:
        raise ValueError(f"{path} holds no rows")
    return rows


def decode_image(text: str, where: str) -> bytes:
    """An image file from base64. Raises ``ValueError``, with the row's name ``where``, for anything else."""
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"the image of {where} is no base64: {error}") from error
    if not content:
        raise ValueError(f"{where} has no image")
    return content


def file_hash(path: Path) -> str:
    """First 12 hex digits of a file's SHA-256. Raises ``ValueError`` where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error


def _parse(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, in which no later value silently replaces an earlier one."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it holds the key {next(name for name in names if names.count(name) > 1)!r} twice")
    return found
