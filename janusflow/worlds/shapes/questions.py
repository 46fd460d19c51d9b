"""Questions about scenes with one exact answer each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from janusflow.worlds.shapes.captions import pick
from janusflow.worlds.shapes.scenes import Scene, relations_between
from janusflow.worlds.shapes.vocabulary import CELL_NAMES, COLORS, NUMBER_WORDS, SHAPES, indefinite, plural

QUESTION_KINDS = ("shape", "color", "count", "where", "exists")

_RELATION_ANSWERS = {"left of": "left", "right of": "right", "above": "above", "below": "below"}


class Question(NamedTuple):
    """A question, its only right answer (one or two lower-case words) and its kind (one of ``QUESTION_KINDS``)."""

    kind: str
    text: str
    answer: str


def sample_question(scene: Scene, rng: np.random.Generator, kind: str | None = None) -> Question:
    """Draw a question about ``scene``. Every kind can be asked of every scene."""
    kind = kind or QUESTION_KINDS[rng.integers(len(QUESTION_KINDS))]
    ask = {"shape": _shape, "color": _color, "count": _count, "where": _where, "exists": _exists}
    if kind not in ask:
        raise ValueError(f"unknown question kind {kind!r}; choose from {', '.join(QUESTION_KINDS)}")
    return ask[kind](scene, rng)


def _shape(scene: Scene, rng: np.random.Generator) -> Question:
    group = pick(rng, scene.groups)
    if len(scene.groups) == 1:
        text = pick(rng, ("what shape is in the picture?", "which shape is this?", "what shape do you see?"))
    elif sum(g.color == group.color for g in scene.groups) == 1:
        text = pick(rng, ("what shape is {}?", "which shape is {}?")).format(group.color)
    else:  # two groups of one colour: ask by place
        item = pick(rng, scene.objects)
        return Question("shape", f"what shape is at the {CELL_NAMES[item.cell]}?", item.shape)
    return Question("shape", text, group.shape)


def _color(scene: Scene, rng: np.random.Generator) -> Question:
    group = pick(rng, scene.groups)
    noun, verb = (group.shape, "is") if group.count == 1 else (plural(group.shape), "are")
    spelling = pick(rng, ("color", "colour"))
    text = pick(rng, ("what {s} {v} the {n}?", "which {s} {v} the {n}?")).format(s=spelling, v=verb, n=noun)
    return Question("color", text, group.color)


def _count(scene: Scene, rng: np.random.Generator) -> Question:
    roll = rng.random()
    if roll < 0.2:
        text, number = (
            pick(rng, ("how many shapes are there?", "how many shapes are in the picture?")),
            len(scene.objects),
        )
    else:
        absent = [shape for shape in SHAPES if all(g.shape != shape for g in scene.groups)]
        shape = pick(rng, absent) if roll < 0.35 else pick(rng, scene.groups).shape
        number = sum(g.count for g in scene.groups if g.shape == shape)
        text = pick(rng, ("how many {} are there?", "how many {} are in the picture?", "how many {} do you see?"))
        text = text.format(plural(shape))
    return Question("count", text, NUMBER_WORDS[number])


def _where(scene: Scene, rng: np.random.Generator) -> Question:
    single = [i for i, g in enumerate(scene.groups) if g.count == 1]
    if len(single) == 2:
        a, b = (single[k] for k in rng.permutation(2))
        relations = relations_between(scene.members(a)[0], scene.members(b)[0])
        if len(relations) == 1:
            names = scene.groups[a].shape, scene.groups[b].shape
            text = pick(rng, ("where is the {} relative to the {}?", "on which side is the {} of the {}?")).format(
                *names
            )
            return Question("where", text, _RELATION_ANSWERS[relations[0]])
    if single:
        index = pick(rng, single)
        text = pick(rng, ("where is the {}?", "where in the picture is the {}?")).format(scene.groups[index].shape)
        return Question("where", text, CELL_NAMES[scene.members(index)[0].cell])
    # Only groups of several: ask of a cell whether it is filled.
    filled = [item.cell for item in scene.objects]
    present = bool(rng.random() < 0.5)
    cell = pick(rng, filled if present else [cell for cell in range(len(CELL_NAMES)) if cell not in filled])
    return Question("where", f"is there anything at the {CELL_NAMES[cell]}?", "yes" if present else "no")


def _exists(scene: Scene, rng: np.random.Generator) -> Question:
    group = pick(rng, scene.groups)
    color, shape, yes = group.color, group.shape, bool(rng.random() < 0.5)
    if not yes:
        # Hard negatives: the right shape in a wrong colour, or the right colour on a wrong shape.
        pairs = {(g.color, g.shape) for g in scene.groups}
        while (color, shape) in pairs:
            if rng.random() < 0.5:
                color = pick(rng, list(COLORS))
            else:
                shape = pick(rng, SHAPES)
    text = pick(rng, ("is there {} in the picture?", "is there {}?", "do you see {}?")).format(
        indefinite(f"{color} {shape}")
    )
    return Question("exists", text, "yes" if yes else "no")
