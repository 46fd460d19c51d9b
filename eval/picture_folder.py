"""Somebody's folder of pictures, flat or nested: which file shows which prompt, by the files' names or by a listing.

A listing is JSON lines or CSV with a file and a prompt in every row, in the order of a prompt's pictures::

    {"file": "0001.png", "prompt": "a photo of a bench"}         file,prompt
                                                                 0001.png,a photo of a bench
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from eval.features.images import ImageFiles
from eval.files import read_json_lines
from eval.task import Drawing, Problems, Task, Work, joined

FILE_KEYS = ("file", "file_name", "image", "path")
PROMPT_KEYS = ("prompt", "text", "caption")


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
    problems = {"unexpected": sorted({*rest, *(set(ImageFiles(folder).names) - listed)})}
    return _with(work, drawings, problems, f"listed in {path.name}")


def match_pictures(folder: Path, work: Work, known: Collection[str] = ()) -> Work:
    """``work`` with the pictures of ``folder`` as its drawings.

    Where any file's stem is a prompt's, each prompt takes the file of its stem: the first by path where there are two
    ("duplicate"), its own path where there is none, so that the picture is missing when it is judged. Files of other
    stems are "unexpected" and not scored, but for ``known`` ones, the benchmark's prompts that are not wanted. Where no
    stem is a prompt's, the names mean something else and all pictures are scored as they are; two files that differ in
    their suffixes alone count once, and another number of them than that of the prompts is "missing" or "unexpected".
    Raises ``ValueError`` for a folder without pictures.
    """
    paths = ImageFiles(folder).names
    if not paths:
        raise ValueError(f"{folder} holds no pictures")
    prompts = {PurePosixPath(one.path).stem: one for one in work.drawings}
    named = any(PurePosixPath(path).stem in (prompts.keys() | set(known)) for path in paths)
    found: dict[str, str] = {}
    problems: Problems = {}
    for path in paths:
        name = PurePosixPath(path).stem if named else PurePosixPath(path).with_suffix("").as_posix()
        if named and name not in prompts:
            if name not in known:
                problems.setdefault("unexpected", []).append(path)
        elif found.setdefault(name, path) != path:
            problems.setdefault("duplicate", []).append(path)
    if named:
        drawings = [one._replace(path=found.get(stem, one.path)) for stem, one in prompts.items()]
        return _with(work, drawings, problems, "matched by name")
    wanted = len(work.drawings)
    if len(found) < wanted:
        problems["missing"] = [f"{wanted - len(found)} of {wanted} pictures"]
    if len(found) > wanted:
        problems["unexpected"] = [f"{len(found)} pictures, where there are {wanted} prompts"]
    drawings = [Drawing(name, "", (0,), path) for name, path in found.items()]
    return _with(work, drawings, problems, "all of the folder; no name is a prompt's")


def strangers(folder: Path, work: Work) -> Work:
    """``work`` with the pictures of ``folder`` that it does not ask for as "unexpected"."""
    asked = {one.path for one in work.drawings}
    unexpected = [path for path in ImageFiles(folder).names if path not in asked]
    return dataclasses.replace(work, problems=joined(work.problems, {"unexpected": unexpected}))


def _with(work: Work, drawings: Sequence[Drawing], problems: Problems, how: str) -> Work:
    """``work`` with pictures from elsewhere, and how they were found."""
    protocol = {**work.protocol, "pictures": how}
    return dataclasses.replace(work, drawings=drawings, problems=joined(work.problems, problems), protocol=protocol)


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
