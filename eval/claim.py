"""A result folder belongs to the settings that it was begun with: what was drawn and answered depends on them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eval.store import PART, write_json
from janusflow.weights import read_json_object

SETTINGS = "settings.json"
FREE = ("libraries",)  # of a model's description: may differ when a run goes on
FREE_OF_ALL = ("machine", "libraries")  # likewise, of the settings


def claim(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that ``folder`` was begun with, and they must be these; a new folder takes them.

    Raises ``ValueError`` that names what differs.
    """
    path = folder / SETTINGS
    settings = json.loads(json.dumps(settings))  # as it comes back from a file
    if not path.exists():
        held = folder.is_dir() and any(one.suffix != PART for one in folder.iterdir())
        if held and not path.exists():  # another process may have begun the folder just now
            raise ValueError(f"{folder} is not empty and holds no results: choose another --out")
        if not held:
            write_json(path, settings)
            return settings
    before = read_json_object(path)
    different = sorted(set(differences(before, settings)))
    if different:
        instead = ", or score its pictures with --images" if before.get("judge") else ""
        raise ValueError(
            f"{folder} holds results of other settings ({', '.join(different)}): choose another --out{instead}"
        )
    return before


def differences(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """The names of settings that differ, those of the model with a dot."""
    for name in {*before, *now} - set(FREE_OF_ALL):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            free = FREE if name == "model" else ()
            yield from (f"{name}.{key}" for key in {*old, *new} if old.get(key) != new.get(key) and key not in free)
        elif old != new:
            yield name


def drawn_by(images: Path | None) -> Any:
    """What drew a folder of pictures, where it is that of a result; else None."""
    path = images.parent / SETTINGS if images else None
    try:
        model = read_json_object(path)["model"] if path else None
    except (ValueError, KeyError):
        return None  # somebody else's file of that name
    return model if isinstance(model, dict) and {"checkpoint", "resolution", "dtype"} <= model.keys() else None
