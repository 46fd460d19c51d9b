"""DPG-Bench's files: ``dpg_bench.csv`` with a question a row, and the prompts.

Source: Hu et al. 2024, "ELLA" (arXiv:2403.05135), and the files of its repository (``dpg_bench/``). Prompts lie there
as ``prompts/<item_id>.txt``; a mirror has them as ``dpg_prompts.json``; the csv repeats them in its column ``text``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from eval import files
from eval.files import read_csv, read_json, read_text
from eval.task import Problems

COLUMNS = ("item_id", "text", "proposition_id", "dependency", "tuple", "question_natural_language")  # that are used
PROTOCOLS = ("official", "corrected")


class Row(NamedTuple):
    """A question about an item."""

    number: int  # of the data row in the file, from 0
    item: str
    text: str  # the prompt
    id: int  # of the question in its item, from 1
    parents: tuple[int, ...]  # questions that must be met first
    category: str  # level 2, such as "entity - whole"
    question: str


Item = dict[int, Row]  # an item's questions by id, in the order in which they are judged


def read_rows(path: Path) -> list[Row]:
    """All questions, in the file's order.

    Raises ``ValueError``, with the line, for a missing column or value, an id or a dependency that is no number, and an
    item's id that cannot be a file's name.
    """
    rows = read_csv(path)
    absent = [name for name in COLUMNS if name not in rows[0].values]
    if absent:
        raise ValueError(f"{path} has no column {', '.join(absent)}")
    return [_row(number, row) for number, row in enumerate(rows)]


def group_rows(rows: Sequence[Row], protocol: str) -> dict[str, Item]:
    """The questions of every item, by item in the file's order.

    "corrected": all of them; of two with one id the later stands, in the place of the first. "official", as the
    official script: without the file's first data row, and an item whose rows are not together keeps the last run.
    Raises ``ValueError`` for another protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol!r}; choose from {', '.join(PROTOCOLS)}")
    items: dict[str, Item] = {}
    previous = None
    for row in rows:
        if protocol == "official":
            if row.number == 0:
                continue
            if row.item != previous:
                items[row.item] = {}
            previous = row.item
        items.setdefault(row.item, {})[row.id] = row
    return items


def check_rows(rows: Sequence[Row]) -> Problems:
    """What is wrong with the questions: kind -> "item/question"s, or items.

    Kinds: "duplicate question" (an id twice in an item), "divided item" (its rows are not together), "unknown parent",
    "several prompts" (an item's rows have different texts).
    """
    problems: Problems = {}
    seen: set[tuple[str, int]] = set()
    items: set[str] = set()
    previous = None
    for row in rows:
        if (row.item, row.id) in seen:
            problems.setdefault("duplicate question", []).append(f"{row.item}/{row.id}")
        if row.item != previous and row.item in items:
            problems.setdefault("divided item", []).append(row.item)
        seen.add((row.item, row.id))
        items.add(row.item)
        previous = row.item
    for row in rows:
        if any((row.item, parent) not in seen for parent in row.parents):
            problems.setdefault("unknown parent", []).append(f"{row.item}/{row.id}")
    for item, texts in _texts(rows).items():
        if len({_plain(text) for text in texts}) > 1:
            problems.setdefault("several prompts", []).append(item)
    return problems


def read_prompts(rows: Sequence[Row], folder: Path) -> tuple[dict[str, str], Problems]:
    """The prompt of every item: that of ``folder``'s ``prompts/<item>.txt`` or ``dpg_prompts.json``, else the csv's.

    Kinds of problem: "missing" (an item without such a prompt; the csv's is taken), "unexpected" (a prompt without
    questions) and "contradiction" (the csv says otherwise). Raises ``ValueError`` for a damaged file, and for an item
    without any prompt.
    """
    prompts = {item: texts[0] for item, texts in _texts(rows).items() if texts}
    problems: Problems = {}
    own = _own_prompts(folder)
    items = list(dict.fromkeys(row.item for row in rows))
    if own is not None:
        problems = {
            "missing": [f"prompt of {item}" for item in items if item not in own],
            "unexpected": [f"prompt of {item}" for item in own if item not in set(items)],
            "contradiction": [
                f"prompt of {item}"
                for item in items
                if item in own and item in prompts and _plain(own[item]) != _plain(prompts[item])
            ],
        }
        prompts.update(own)
    for item in items:
        if not prompts.get(item):
            raise ValueError(f"the item {item} has no prompt")
    return {item: prompts[item] for item in items}, {kind: names for kind, names in problems.items() if names}


def prompts_of_json(path: Path) -> dict[str, str]:
    """The prompts of the mirror's file: a list of {"prompt", "prompt_file_name"}. Raises ``ValueError`` otherwise."""
    content = read_json(path)
    prompts: dict[str, str] = {}
    for entry in content if isinstance(content, list) else [content]:
        item, text = (entry.get(key) if isinstance(entry, dict) else None for key in ("prompt_file_name", "prompt"))
        if not isinstance(item, str) or not isinstance(text, str) or item in prompts:
            raise ValueError(f"{path} is no list of prompts with names of their own: {entry!r}")
        prompts[item] = text.strip()
    return prompts


def _own_prompts(folder: Path) -> dict[str, str] | None:
    if (folder / "prompts").is_dir():
        return {path.stem: read_text(path).strip() for path in sorted((folder / "prompts").glob("*.txt"))}
    path = folder / "dpg_prompts.json"
    return prompts_of_json(path) if path.is_file() else None


def _row(number: int, row: files.Row) -> Row:
    kinds = {name: str for name in COLUMNS if name != "text"}
    item, key, dependency, tuple_, question = (cell.strip() for cell in row.take(**kinds))
    if "/" in item or "\\" in item or "." in item:  # the file of its picture is "<item>.png"
        raise ValueError(f"{row.where}: the item_id {item!r} cannot be a file's name")
    category = tuple_.split("(")[0].strip()
    if not category:
        raise ValueError(f"{row.where}: the tuple {tuple_!r} begins with no category")
    parents = [_number(row, "dependency", part) for part in dependency.split(",")]
    return Row(
        number,
        item,
        row.values["text"].strip(),
        _number(row, "proposition_id", key),
        tuple(parent for parent in parents if parent != 0),  # 0: none
        category,
        question,
    )


def _number(row: files.Row, column: str, text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{row.where}: the column {column} holds {text!r}, not a whole number")
    return int(text)


def _texts(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The texts of every item that has any."""
    texts: dict[str, list[str]] = {}
    for row in rows:
        if row.text:
            texts.setdefault(row.item, []).append(row.text)
    return texts


def _plain(text: str) -> str:
    return " ".join(text.split())
