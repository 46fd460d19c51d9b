"""The models of a comparison: where they are, and whether they can be compared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from eval.compare.config import CompareConfig
from eval.store import write_json
from eval.worlds.judge import side
from janusflow.checkpoints.adapters import unfold
from janusflow.checkpoints.pretrained import read_config
from janusflow.config import load_config
from janusflow.training.config import REPORT_TASKS, RunConfig
from janusflow.weights import model_folder, read_json_object

NAME = re.compile(r"[\w.+-]+")
RECORD = "models.json"  # in the output folder: whose comparison it is


class Contestant(NamedTuple):
    """A model: its name, and a path for each training seed."""

    name: str
    paths: tuple[str, ...]


def parse_contestants(texts: Sequence[str]) -> list[Contestant]:
    """``[NAME=]PATH[,PATH…]`` each; the default name is the folder's.

    Raises ``ValueError`` for an empty path, an impossible name, or a name that two models have.
    """
    found = [_parse(text) for text in texts]
    names = [contestant.name for contestant in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two models are called {name}: name them apart, as in first=PATH second=PATH")
    return found


def _parse(text: str) -> Contestant:
    name, given, rest = text.partition("=")
    if not given or "/" in name or Path(text).exists():
        name, rest = "", text
    paths = tuple(rest.split(","))
    if not all(paths):
        raise ValueError(f"an empty path in {text!r}")
    name = name or Path(paths[0]).resolve().name
    if not NAME.fullmatch(name):
        raise ValueError(f"a model's name takes letters, digits and any of ._+- only, not {name!r}")
    return Contestant(name, paths)


def check_comparable(contestants: Sequence[Contestant], compared: CompareConfig) -> None:
    """Raise ``ValueError`` where a model is missing, cannot do what is compared, or has another size of image."""
    sight = side(compared.cast)
    for contestant in contestants:
        configs = [read_config(model_folder(unfold(path)[0])).model for path in contestant.paths]
        for path, config in zip(contestant.paths, configs, strict=True):
            if config.vision.image_size != sight:
                raise ValueError(
                    f"{path} works at {config.vision.image_size} pixels, those of {compared.cast} at {sight}"
                )
            if config != configs[0]:
                raise ValueError(f"{path} and {contestant.paths[0]} are no seeds of one model: their sizes differ")
            if compared.generates:
                config.head.check_options(compared.main_options(config.head.head_class))
            for task in compared.tasks:
                if task not in trained_tasks(path):
                    can = " ".join(trained_tasks(path))
                    raise ValueError(f"{path} was not trained for {task}; the comparison can be of --tasks {can}")


def trained_tasks(path: str) -> Sequence[str]:
    """What a run folder's report scores, where it scores anything; all tasks for other models."""
    file = Path(path) / "config.yaml"
    return (load_config(RunConfig, file).report.tasks if file.exists() else []) or REPORT_TASKS


def claim_folder(folder: Path, contestants: Sequence[Contestant]) -> None:
    """Make the output folder, or go on in it; models may join a comparison.

    Raises ``ValueError`` where something else is in it, or a comparison in which a model is missing here or another.
    """
    record = folder / RECORD
    now = {contestant.name: [_resolve(path) for path in contestant.paths] for contestant in contestants}
    if record.exists():
        before = read_json_object(record)
        gone = [name for name in before if now.get(name) != before[name]]
        if gone:
            raise ValueError(f"{folder} holds another comparison, of {', '.join(before)}: choose another --out")
    elif folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty and holds no comparison: choose another --out")
    write_json(record, now)


def _resolve(path: str) -> str:
    """A folder however it is written; hub ids as they are."""
    return str(Path(path).resolve()) if Path(path).exists() else path
