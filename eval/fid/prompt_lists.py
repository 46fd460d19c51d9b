"""The prompts of MJHQ-30K and of COCO's captions, and lists of some of them that a seed fixes for good."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from eval.files import read_json

Item = TypeVar("Item")
CATEGORIES = ("animals", "art", "fashion", "food", "indoor", "landscape", "logo", "people", "plants", "vehicles")


class Prompt(NamedTuple):
    """One picture to draw."""

    id: str  # also the stem of its file
    text: str
    category: str = ""


def read_mjhq(path: Path) -> list[Prompt]:
    """The prompts of ``meta_data.json``, {stem: {"category", "prompt"}}, in the order of the stems.

    Raises ``ValueError``, with the stem, where the file has another form.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path} must hold an object of stems")
    prompts = []
    for stem in sorted(content):
        entry = content[stem]
        if not isinstance(entry, dict) or not isinstance(entry.get("prompt"), str):
            raise ValueError(f"{path}: {stem!r} has no prompt")
        if entry.get("category") not in CATEGORIES:
            raise ValueError(f"{path}: {stem!r} has the unknown category {entry.get('category')!r}")
        if not stem or stem != Path(stem).name:
            raise ValueError(f"{path}: {stem!r} is no file name")
        prompts.append(Prompt(stem, entry["prompt"], entry["category"]))
    return prompts


def read_coco(path: Path) -> list[Prompt]:
    """All captions of ``captions_val2014.json``, in the order of their ids; a prompt's id is "<image>_<caption>".

    Raises ``ValueError``, with the number of the annotation, where the file has another form.
    """
    content = read_json(path)
    annotations = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(annotations, list) or not annotations:
        raise ValueError(f"{path} holds no annotations")
    for number, one in enumerate(annotations):
        if not _is_caption(one):
            raise ValueError(f"{path}: annotation {number} is no caption: {one!r}")
    ordered = sorted(annotations, key=lambda one: one["id"])
    for one, following in pairwise(ordered):
        if one["id"] == following["id"]:
            raise ValueError(f"{path}: two captions have the id {one['id']}")
    return [Prompt(f"{one['image_id']:012d}_{one['id']}", one["caption"].strip()) for one in ordered]


def choose(items: Sequence[Item], count: int | None, seed: int) -> list[Item]:
    """``count`` of the items in their own order, or all: the same for good, and a smaller list lies in a larger one.

    Raises ``ValueError`` where there are fewer, and for an impossible seed.
    """
    if count is None:
        return list(items)
    if not 1 <= count <= len(items):
        raise ValueError(f"cannot choose {count} of {len(items)}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"the seed of a choice must lie in 0 .. 2**32 - 1, got {seed}")
    kept = np.random.RandomState(seed).permutation(len(items))[:count]  # this generator's draws never change
    return [items[index] for index in sorted(kept)]


def evenly(items: Sequence[Item], limit: int | None, place: Callable[[Item], tuple[str, str]]) -> list[Item]:
    """``limit`` of the items in their own order, as many from each group as from the others, or all items.

    place: an item's group, and the unit of it that is taken whole if the limit lets it, such as the questions about a
    picture, which stand together. The first units of every group are taken, so a smaller list lies in a larger one.
    """
    groups: dict[str, dict[str, int]] = {}  # group -> unit -> its number there
    ranks = []
    for group, unit in map(place, items):
        units = groups.setdefault(group, {})
        ranks.append(units.setdefault(unit, len(units)))
    kept = sorted(range(len(items)), key=ranks.__getitem__)[:limit]
    return [items[index] for index in sorted(kept)]


def list_hash(ids: Sequence[str]) -> str:
    """The first 12 hex digits of the SHA-256 of the ids, a line each: what a protocol says of a list."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:12]


def _is_caption(one: Any) -> bool:
    return (
        isinstance(one, dict)
        and isinstance(one.get("caption"), str)
        and all(isinstance(one.get(key), int) and one[key] >= 0 for key in ("id", "image_id"))
    )
