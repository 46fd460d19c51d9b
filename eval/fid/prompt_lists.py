"""The prompts of MJHQ-30K and of COCO's captions, and lists of some of them that a seed fixes for good."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

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


def _is_caption(one: Any) -> bool:
    return (
        isinstance(one, dict)
        and isinstance(one.get("caption"), str)
        and all(isinstance(one.get(key), int) and one[key] >= 0 for key in ("id", "image_id"))
    )
