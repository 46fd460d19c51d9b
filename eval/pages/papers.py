"""The papers' published numbers, for the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

NUMBERS = Path(__file__).parent / "paper_numbers.yaml"
FAMILY = ("Janus", "JanusFlow", "Janus-Pro")  # and letters, the experiments of ablations


def published_tables() -> list[dict[str, Any]]:
    """Every table: paper, table, title, protocol, columns and rows (lists, None where the paper has a dash)."""
    tables: list[dict[str, Any]] = yaml.safe_load(NUMBERS.read_text(encoding="utf-8"))
    return tables


def column_of(table: dict[str, Any], key: str) -> str | None:
    """The column of a table that a score stands beside; a key is a column, or ``TITLE: COLUMN``. None without one."""
    title = f"{table['title']}: "
    column = key.removeprefix(title) if key.startswith(title) else key
    return column if column in table["columns"] else None


def family_rows(table: dict[str, Any]) -> list[list[Any]]:
    """The rows of Janus, JanusFlow and Janus-Pro, and of their experiments."""
    return [
        row for row in table["rows"] if len(row[0]) == 1 or row[0].removesuffix("-1B").removesuffix("-7B") in FAMILY
    ]


def as_printed(table: dict[str, Any], rows: list[list[Any]]) -> list[list[str]]:
    """Cells as text, the numbers of a column with as many decimals as its longest has."""
    places = [max((_decimals(row[i]) for row in table["rows"]), default=0) for i in range(len(table["columns"]))]
    return [[_cell(value, digits) for value, digits in zip(row, places, strict=True)] for row in rows]


def _decimals(value: Any) -> int:
    return len(str(value).partition(".")[2]) if isinstance(value, float) else 0


def _cell(value: Any, digits: int) -> str:
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)
