"""GenEval's folders: ``<5-digit index>/metadata.jsonl`` and ``<index>/samples/<5-digit number>.png``, as the official
scripts write and read them, so that other tools score our pictures and we score theirs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.files import read_json
from eval.task import Drawing, Problems

SAMPLES = 4  # pictures a prompt
COMPARED = ("tag", "prompt", "include", "exclude")  # keys of metadata that decide a verdict


def sample_path(index: int, number: int) -> str:
    """The picture ``number`` of prompt ``index``, below the folder of pictures."""
    return f"{index:05}/samples/{number:05}.png"


def sample_id(index: int, number: int) -> str:
    """The name of that picture in results."""
    return f"{index:05}/{number}"


def index_of(drawing_id: str) -> int:
    """The prompt's index, from :func:`sample_id`'s name. Raises ``ValueError`` for another name."""
    index = drawing_id.partition("/")[0]
    if not index.isdecimal():
        raise ValueError(f"{drawing_id!r} is no sample's name, such as 00000/0")
    return int(index)


def write_metadata(folder: Path, prompts: Sequence[Mapping[str, Any]], indices: Iterable[int]) -> None:
    """Write ``metadata.jsonl`` of these prompts and make the folders of their samples."""
    for index in indices:
        (folder / f"{index:05}" / "samples").mkdir(parents=True, exist_ok=True)
        text = json.dumps(prompts[index], ensure_ascii=False)
        (folder / f"{index:05}" / "metadata.jsonl").write_text(text + "\n", encoding="utf-8")


def find_samples(
    folder: Path, prompts: Sequence[Mapping[str, Any]], drawings: Sequence[Drawing]
) -> tuple[list[Drawing], Problems]:
    """The drawings with the paths of the pictures in ``folder``, and what is wrong there.

    ``prompts`` are all prompts, ``drawings`` the wanted ones, all pictures of a prompt or none. Kinds of problem:
    "missing" (a prompt's folder, its metadata or a picture), "unexpected" (a folder of no prompt, a file that is no
    sample, a picture after the fourth, which is not scored), "contradiction" (metadata of another prompt than the
    prompt file's) and "damaged" (metadata that cannot be read). A picture that is missing keeps the path of the layout.
    """
    problems: Problems = {}
    folders = _prompt_folders(folder, len(prompts), problems)
    wanted: dict[int, list[Drawing]] = {}
    for drawing in drawings:
        wanted.setdefault(index_of(drawing.id), []).append(drawing)
    found: list[Drawing] = []
    for index, samples in wanted.items():
        if index not in folders:
            problems.setdefault("missing", []).extend(drawing.id for drawing in samples)
            found += samples
            continue
        _check_metadata(folders[index], prompts[index], problems)
        files = _pictures(folders[index], len(samples), problems)
        for number, drawing in enumerate(samples):
            if number in files:
                drawing = drawing._replace(path=files[number].relative_to(folder).as_posix())
            else:
                problems.setdefault("missing", []).append(drawing.id)
            found.append(drawing)
    return found, problems


def _prompt_folders(folder: Path, count: int, problems: Problems) -> dict[int, Path]:
    """Folders by prompt index; the name may have any number of leading zeros. Other folders are unexpected."""
    folders: dict[int, Path] = {}
    for path in sorted(folder.iterdir(), key=_most_digits):
        if not path.is_dir():
            continue
        index = int(path.name) if path.name.isascii() and path.name.isdigit() else count
        if index < count and index not in folders:
            folders[index] = path
        else:
            problems.setdefault("unexpected", []).append(path.name)
    return folders


def _check_metadata(folder: Path, prompt: Mapping[str, Any], problems: Problems) -> None:
    path = folder / "metadata.jsonl"
    name = f"{folder.name}/{path.name}"
    if not path.is_file():
        problems.setdefault("missing", []).append(name)
        return
    try:
        metadata = read_json(path)
    except ValueError:
        problems.setdefault("damaged", []).append(name)
        return
    if not isinstance(metadata, dict) or any(
        (metadata.get(key) or None) != (prompt.get(key) or None) for key in COMPARED
    ):
        problems.setdefault("contradiction", []).append(name)


def _pictures(folder: Path, count: int, problems: Problems) -> dict[int, Path]:
    """Samples by number, 0 to ``count`` - 1. Where the files are numbered in another way, their order counts."""
    samples = folder / "samples"
    numbered: dict[int, Path] = {}
    unexpected = []
    for path in sorted(samples.iterdir(), key=_most_digits) if samples.is_dir() else ():
        number = int(path.stem) if path.stem.isascii() and path.stem.isdigit() else -1
        if path.suffix == ".png" and path.is_file() and number >= 0 and number not in numbered:
            numbered[number] = path
        else:
            unexpected.append(path)
    files = [numbered[number] for number in sorted(numbered)]
    unexpected += files[count:]
    if unexpected:
        names = [f"{folder.name}/samples/{path.name}" for path in sorted(unexpected)]
        problems.setdefault("unexpected", []).extend(names)
    return numbered if max(numbered, default=0) < count else dict(enumerate(files[:count]))


def _most_digits(path: Path) -> tuple[int, str]:
    """Sorts "00001" before "1", so that of two files of one number the layout's own is taken."""
    return -len(path.name), path.name
