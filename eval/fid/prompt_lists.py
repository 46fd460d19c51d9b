"""The prompts of MJHQ-30K and of COCO's captions."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from eval.files import read_rows, read_table

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
    prompts = []
    for stem, row in sorted(read_table(path).items()):
        text, category = row.values.get("prompt"), row.values.get("category")
        if not isinstance(text, str):
            raise ValueError(f"{row.where} has no prompt")
        if category not in CATEGORIES:
            raise ValueError(f"{row.where} has the unknown category {category!r}")
        if not stem or stem != Path(stem).name:
            raise ValueError(f"{row.where} is no file name")
        prompts.append(Prompt(stem, text, category))
    return prompts


def read_coco(path: Path) -> list[Prompt]:
    """All captions of ``captions_val2014.json``, in the order of their ids; a prompt's id is "<image>_<caption>".

    Raises ``ValueError``, with the number of the annotation, where the file has another form.
    """
    found: dict[int, Prompt] = {}
    for row in read_rows(path, "annotations"):
        caption, (key, image) = row.values.get("caption"), row.take(id=int, image_id=int)
        if not isinstance(caption, str) or min(key, image) < 0:
            raise ValueError(f"{row.where} is no caption: {row.values!r}")
        if key in found:
            raise ValueError(f"{row.where}: two captions have the id {key}")
        found[key] = Prompt(f"{image:012d}_{key}", caption.strip())
    return [found[key] for key in sorted(found)]
