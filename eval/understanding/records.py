"""What benchmarks' files hold: fields that must be there, images that must lie beside them, ids that occur once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from eval.task import Question

Kinds = type | tuple[type, ...]


def take(record: Any, where: str, **kinds: Kinds) -> list[Any]:
    """The named fields of a JSON object, in order. Raises ``ValueError`` where one is missing or of another type."""
    if not isinstance(record, dict):
        raise ValueError(f"{where} is no object: {str(record)[:80]!r}")
    for name, kind in kinds.items():
        if name not in record:
            raise ValueError(f"{where} has no {name!r}")
        _check_kind(record[name], kind, name, where)
    return [record[name] for name in kinds]


def get_field(record: Mapping[str, Any], name: str, where: str, *kinds: type) -> Any:
    """The named field, of one of ``kinds`` if any are given.

    Raises ``ValueError`` where it is missing, blank or of another type; ``where`` names the record.
    """
    value = record.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError(f"{where} has no {name}")
    if kinds:
        _check_kind(value, kinds, name, where)
    return value


def _check_kind(value: Any, kinds: Kinds, name: str, where: str) -> None:
    """In JSON, unlike in Python, true is no number; nor is NaN."""
    if not isinstance(value, kinds) or isinstance(value, bool) or value != value:
        raise ValueError(f"{where} has an unusable {name!r}: {str(value)[:80]!r}")


def gold_text(gold: str | float) -> str:
    """A right answer as text; a number, Python's or NumPy's, is what ``str`` writes.

    Raises ``ValueError`` for anything else.
    """
    if isinstance(gold, bool) or not isinstance(gold, str | Real):
        raise ValueError(f"a right answer is a text or a number, not {gold!r}")
    return str(gold)


def take_rows(content: Any, where: str) -> Sequence[Any]:
    """A JSON list that holds something. Raises ``ValueError`` for anything else."""
    if not isinstance(content, list) or not content:
        raise ValueError(f"{where} holds no list of records")
    return content


def take_table(content: Any, where: str) -> Mapping[str, Any]:
    """A JSON object that holds something. Raises ``ValueError`` for anything else."""
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{where} holds no object of records")
    return content


def check_unique(ids: Iterable[Any], where: str | Path) -> None:
    """Raises ``ValueError`` with the first of ``ids`` that occurs twice."""
    seen = set()
    for one in ids:
        if one in seen:
            raise ValueError(f"{where} holds {one} twice")
        seen.add(one)


def by_id(records: Iterable[tuple[Any, Any]], where: str) -> dict[Any, Any]:
    """(id, record) as a mapping. Raises ``ValueError`` for an id that occurs twice."""
    pairs = list(records)
    check_unique((name for name, _ in pairs), where)
    return dict(pairs)


def find_images(folder: Path, places: Sequence[str], names: Iterable[str]) -> dict[str, Path]:
    """Image files by name, in the first of the subfolders ``places`` that exists.

    Raises ``ValueError`` with the first missing one and their number.
    """
    place = next((folder / place for place in places if (folder / place).is_dir()), None)
    if place is None:
        raise ValueError(f"{folder} holds no folder {' or '.join(places)} of images")
    found = {name: place / name for name in dict.fromkeys(names)}
    missing = [path for path in found.values() if not path.is_file()]
    if missing:
        raise ValueError(f"{len(missing)} of {len(found)} images are missing, such as {missing[0]}")
    return found


def unanswered(questions: Iterable[Question], answers: Mapping[str, str]) -> dict[str, list[str]]:
    """The problem of questions without an answer, which count as wrong; no entry where there is none."""
    missing = [question.id for question in questions if question.id not in answers]
    return {"missing": missing} if missing else {}
