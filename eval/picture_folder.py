"""Somebody's folder of pictures, flat or nested, matched to a benchmark's prompts by the files' names."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from eval.features.image_files import is_picture
from eval.task import Drawing, Problems, Work, joined


def match_pictures(folder: Path, work: Work, known: Collection[str] = ()) -> Work:
    """``work`` with the pictures of ``folder`` as its drawings.

    Where any file's stem is a prompt's, each prompt takes the file of its stem: the first by path where there are two
    ("duplicate"), its own path where there is none, so that the picture is missing when it is judged. Files of other
    stems are "unexpected" and not scored, but for ``known`` ones, the benchmark's prompts that are not wanted. Where no
    stem is a prompt's, the names mean something else and all pictures
    are scored as they are; a number of them other than that of the prompts is "missing" or "unexpected".
    Raises ``ValueError`` for a folder without pictures.
    """
    paths = pictures_in(folder)
    if not paths:
        raise ValueError(f"{folder} holds no pictures")
    prompts = {PurePosixPath(one.path).stem: one for one in work.drawings}
    if not any(PurePosixPath(path).stem in (prompts.keys() | set(known)) for path in paths):
        return _take_all(paths, work)
    found: dict[str, str] = {}
    problems: Problems = {}
    for path in paths:
        stem = PurePosixPath(path).stem
        if stem not in prompts and stem in known:
            continue
        if stem not in prompts:
            problems.setdefault("unexpected", []).append(path)
        elif found.setdefault(stem, path) != path:
            problems.setdefault("duplicate", []).append(path)
    drawings = [one._replace(path=found.get(stem, one.path)) for stem, one in prompts.items()]
    return dataclasses.replace(
        work,
        drawings=drawings,
        problems=joined(work.problems, problems),
        protocol={**work.protocol, "pictures": "matched by name"},
    )


def pictures_in(folder: Path) -> list[str]:
    """The paths of all pictures at any depth, in order."""
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [path for path in paths if is_picture(path)]


def strangers(folder: Path, work: Work) -> Work:
    """``work`` with the pictures of ``folder`` that it does not ask for as "unexpected"."""
    asked = {one.path for one in work.drawings}
    unexpected = [path for path in pictures_in(folder) if path not in asked]
    return dataclasses.replace(work, problems=joined(work.problems, {"unexpected": unexpected}))


def _take_all(paths: list[str], work: Work) -> Work:
    """Every picture as a drawing without a prompt; two files that differ in their suffixes alone count once."""
    wanted = len(work.drawings)
    found: dict[str, str] = {}
    problems: Problems = {}
    for path in paths:
        name = PurePosixPath(path).with_suffix("").as_posix()
        if found.setdefault(name, path) != path:
            problems.setdefault("duplicate", []).append(path)
    if len(found) < wanted:
        problems["missing"] = [f"{wanted - len(found)} of {wanted} pictures"]
    if len(found) > wanted:
        problems.setdefault("unexpected", []).append(f"{len(found)} pictures, where there are {wanted} prompts")
    drawings = [Drawing(name, "", (0,), path) for name, path in found.items()]
    return dataclasses.replace(
        work,
        drawings=drawings,
        problems=joined(work.problems, problems),
        protocol={**work.protocol, "pictures": "all of the folder; no name is a prompt's"},
    )
