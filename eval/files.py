"""The benchmarks' own files: folders and hub data sets, JSON and JSON lines, with errors that name the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from janusflow.hub import download, is_hub_id

if TYPE_CHECKING:
    from eval.task import Need


def find_data(given: str | None, task: str, needs: Sequence[Need]) -> Path:
    """The folder of a benchmark: ``given`` itself, or the download of the hub data set that it names.

    Raises ``ValueError`` without ``given`` (saying where the files are had) and for what is neither.
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


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises ``ValueError`` with its name where it is none, or holds a key twice."""
    try:
        return _parse(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error


def read_json_lines(path: Path) -> list[Any]:
    """The objects of a JSON lines file; blank lines are nothing.

    Raises ``ValueError``, with the line's number, for one that is no JSON or holds a key twice.
    """
    found = []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: a string may hold other line breaks
        if line.strip():
            try:
                found.append(_parse(line))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
    return found


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


def find_folder(path: Path) -> Path:
    """``path``. Raises ``ValueError`` where it is no folder."""
    if not path.is_dir():
        raise ValueError(f"there is no folder {path}")
    return path


def file_hash(path: Path) -> str:
    """First 12 hex digits of a file's SHA-256. Raises ``ValueError`` where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
