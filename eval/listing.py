"""A listing in a folder of pictures: which of its files shows which prompt, whatever the files are called.

JSON lines or CSV with a file and a prompt in every row, in the order of a prompt's pictures::

    {"file": "0001.png", "prompt": "a photo of a bench"}         file,prompt
                                                                 0001.png,a photo of a bench
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eval.files import read_json_lines
from eval.picture_folder import pictures_in
from eval.task import Problems, Task, Work, joined

FILE_KEYS = ("file", "file_name", "image", "path")
PROMPT_KEYS = ("prompt", "text", "caption")


def match_listing(folder: Path, work: Work) -> Work | None:
    """``work`` with the pictures of its prompts that a listing in ``folder`` names; None where there is no listing.

    The files of a prompt are its drawings' in turn; a drawing that gets none keeps its path, where the picture is
    missing. Files that are left over, of no prompt or in no row are "unexpected".
    Raises ``ValueError`` for two listings, for a row without file or prompt, and for a file that is listed twice.
    """
    found = {path: rows for path in sorted(folder.iterdir()) if (rows := _rows(path))}
    if not found:
        return None
    if len(found) > 1:
        raise ValueError(f"{folder} holds several listings, {' and '.join(path.name for path in found)}: leave one")
    ((path, rows),) = found.items()
    files: dict[str, list[str]] = {}  # of each prompt
    listed: set[str] = set()
    for number, row in enumerate(rows, 1):
        name, prompt = _value(row, FILE_KEYS), _value(row, PROMPT_KEYS)
        if not name or not prompt or not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{path}, row {number}: there is no file of the folder with a prompt in {row!r}")
        name = Path(name).as_posix()
        if name in listed:
            raise ValueError(f"{path}, row {number}: {name} is listed twice")
        listed.add(name)
        files.setdefault(prompt.strip(), []).append(name)
    drawings = []
    for one in work.drawings:
        of_prompt = files.get(one.prompt.strip())
        drawings.append(one._replace(path=of_prompt.pop(0)) if of_prompt else one)
    rest = [name for names in files.values() for name in names]
    problems: Problems = {"unexpected": sorted({*rest, *(set(pictures_in(folder)) - listed)})}
    protocol = {**work.protocol, "pictures": f"listed in {path.name}"}
    return dataclasses.replace(work, drawings=drawings, problems=joined(work.problems, problems), protocol=protocol)


def find_pictures(task: Task, folder: Path, work: Work) -> Work:
    """``work`` with somebody's pictures in ``folder``: of the prompts in its listing, or else in the task's own layout.

    Raises ``ValueError``, with the forms that are known, where no picture is of a prompt.
    """
    found = match_listing(folder, work)
    if found is None:
        found = task.find_pictures(folder, work)
    if not any((folder / one.path).is_file() for one in found.drawings):
        raise ValueError(no_match(folder, work))
    return found


def no_match(folder: Path, work: Work) -> str:
    """What is wrong with a folder in which no picture is of a prompt."""
    return (
        f"no picture in {folder} is of a prompt: call them as in {work.drawings[0].path}, or add a listing, "
        'such as listing.jsonl with a line {"file": "a.png", "prompt": "…"} each, or a CSV with these columns'
    )


def _rows(path: Path) -> list[Mapping[str, Any]]:
    """The rows of a file that is a listing by its first row; none of any other file."""
    rows: list[Mapping[str, Any]]
    if path.suffix == ".jsonl":
        rows = read_json_lines(path)
    elif path.suffix == ".csv":
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file))
        except (OSError, ValueError, csv.Error) as error:
            raise ValueError(f"cannot read {path}: {error}") from error
    else:
        return []
    return rows if rows and _value(rows[0], FILE_KEYS) and _value(rows[0], PROMPT_KEYS) else []


def _value(row: Any, keys: tuple[str, ...]) -> str | None:
    found = [row.get(key) for key in keys] if isinstance(row, Mapping) else []
    return next((value for value in found if isinstance(value, str) and value.strip()), None)
