"""Captions of scenes, short and long, and text-only lines about the world.

Everything is lower case with American and British spellings of "color"; the tokenizer lower-cases what users type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from janusflow.worlds.shapes.scenes import Group, Scene, sample_scene
from janusflow.worlds.shapes.vocabulary import CELL_NAMES, NUMBER_WORDS, OPPOSITE, indefinite, plural

T = TypeVar("T")

COLOR_SHARE = 0.7  # of the claims that would be complete without colours

# "{}" is the claim. GenEval's own form is the first.
SHORT_TEMPLATES = (
    "a photo of {}",
    "{}",
    "a picture of {}",
    "an image of {}",
    "a drawing of {}",
    "{} on a grey background",
)
LONG_TEMPLATES = ("the picture shows {}.", "there is {}.", "{}.", "an image with {}.", "this is a drawing of {}.")


def group_phrase(group: Group, with_color: bool) -> str:
    """``"a red circle"``, ``"three stars"``: one group, with or without its colour."""
    color = f"{group.color} " if with_color else ""
    if group.count == 1:
        return indefinite(color + group.shape)
    return f"{NUMBER_WORDS[group.count]} {color}{plural(group.shape)}"


def claim(scene: Scene, with_color: bool, relation: str | None = None) -> str:
    """What a caption says of the scene: its groups, joined by "and" or by the spatial ``relation`` of the first two."""
    phrases = [group_phrase(group, with_color) for group in scene.groups]
    if relation is not None:
        return f"{phrases[0]} {relation} {phrases[1]}"
    return " and ".join(phrases)


def scene_claim(scene: Scene, rng: np.random.Generator) -> str:
    """A claim in which colours are usual, and always there where they are what the scene is about."""
    relation = scene.relations()[0] if scene.kind == "position" else None
    with_color = scene.kind in ("colors", "color_attr") or bool(rng.random() < COLOR_SHARE)
    return claim(scene, with_color, relation)


def short_caption(scene: Scene, rng: np.random.Generator) -> str:
    """One phrase, such as ``"a photo of a red circle"``."""
    return pick(rng, SHORT_TEMPLATES).format(scene_claim(scene, rng))


def long_caption(scene: Scene, rng: np.random.Generator) -> str:
    """Two or three sentences: the claim, then where everything is, in which colour."""
    relation = scene.relations()[0] if scene.kind == "position" else None
    first = pick(rng, LONG_TEMPLATES).format(claim(scene, bool(rng.random() < COLOR_SHARE), relation))
    return " ".join([first, *(_placement(scene, index) for index in range(len(scene.groups)))])


def _placement(scene: Scene, index: int) -> str:
    group = scene.groups[index]
    places = [_place_phrase(item.cell) for item in sorted(scene.members(index), key=lambda item: item.cell)]
    where = places[0] if len(places) == 1 else ", ".join(places[:-1]) + " and " + places[-1]
    if group.count == 1:
        return f"the {group.color} {group.shape} is {where}."
    return f"the {NUMBER_WORDS[group.count]} {group.color} {plural(group.shape)} are {where}."


def _place_phrase(cell: int) -> str:
    name = CELL_NAMES[cell]
    return f"in the {name}" if name == "center" else f"at the {name}"


def text_line(rng: np.random.Generator) -> str:
    """A line of text-only data: arithmetic of counts, opposites of relations, definitions, colours."""
    scene = sample_scene(rng, ("position", "compound", "color_attr")[rng.integers(3)])
    one, two = scene.groups
    topic = rng.integers(5)
    if topic == 0:
        total = NUMBER_WORDS[one.count + two.count]
        return f"{group_phrase(one, True)} and {group_phrase(two, True)} make {total} shapes."
    if topic == 1 and scene.kind == "position":
        relation = scene.relations()[0]
        a, b = one.shape, two.shape
        return f"if the {a} is {relation} the {b}, then the {b} is {OPPOSITE[relation]} the {a}."
    if topic == 2:
        single = group_phrase(Group(one.shape, one.color, 1), True)
        return f"{single} is {indefinite(one.shape)}, and its color is {one.color}."
    if topic == 3:
        facts = {
            "circle": "round and full", "ring": "round with a hole", "square": "a shape with four sides",
            "triangle": "a shape with three sides", "star": "a shape with five points", "cross": "made of two bars",
        }  # fmt: skip
        return f"{indefinite(one.shape)} is {facts[one.shape]}."
    return long_caption(scene, rng)


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of ``options``, all equally likely."""
    return options[int(rng.integers(len(options)))]
