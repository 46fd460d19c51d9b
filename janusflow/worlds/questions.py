"""Questions about scenes with one exact answer each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from janusflow.worlds.captions import pick
from janusflow.worlds.placement import GRID
from janusflow.worlds.scenes import Group, Scene, Thing, World, relations_between
from janusflow.worlds.vocabulary import CELL_NAMES, COLORS, NUMBER_WORDS, indefinite, plural, verb

LARGER = 1.25  # a thing is larger than another if its size is so many times the other's
SPELLINGS = ("color", "colour")
_RELATION_ANSWERS = {"left of": "left", "right of": "right", "above": "above", "below": "below"}

WORDINGS = {
    "the only": ("what {noun} is in the picture?", "which {noun} is this?", "what {noun} do you see?",
                 "what is shown here?", "name the {noun}.", "what does the picture show?"),
    "of that color": ("what {noun} is {color}?", "which {noun} is {color}?", "what is {color}?",
                      "name the {color} {noun}."),
    "at that place": ("what {noun} is {place}?", "what is {place}?", "which {noun} do you see {place}?"),
    "color": ("what {color} {are} the {name}?", "which {color} {are} the {name}?", "what is the {color} of the {name}?",
              "tell me the {color} of the {name}.", "the {name} {are} of which {color}?",
              "in which {color} {are} the {name} drawn?"),
    "count all": ("how many {nouns} are there?", "how many {nouns} are in the picture?",
                  "how many {nouns} do you see in total?", "count all {nouns}."),
    "count": ("how many {name} are there?", "how many {name} are in the picture?", "how many {name} do you see?",
              "count the {name}.", "what is the number of {name}?", "how many {name} does the image show?"),
    "relation": ("where {are} the {a} relative to the {b}?", "on which side {are} the {a} of the {b}?",
                 "seen from the {b}, where {are} the {a}?", "how {are} the {a} placed relative to the {b}?"),
    "where": ("where {are} the {name}?", "where in the picture {are} the {name}?", "at which place {are} the {name}?",
              "in which part of the picture {are} the {name}?"),
    "anything": ("is there anything {place}?", "do you see anything {place}?"),
    "exists": ("is there {thing} in the picture?", "is there {thing}?", "do you see {thing}?",
               "does the picture show {thing}?", "can you see {thing} here?"),
    "larger": ("which is larger, the {a} or the {b}?", "which one is bigger, the {a} or the {b}?",
               "what is larger: the {a} or the {b}?"),
    "smaller": ("which is smaller, the {a} or the {b}?", "which one is smaller, the {a} or the {b}?",
                "what is smaller: the {a} or the {b}?"),
    "beside": ("what is {relation} the {name}?", "which {noun} is {relation} the {name}?",
               "what do you see {relation} the {name}?"),
    "background": ("what is the background?", "which background is it?", "what {color} is the background?",
                   "on what background {are} the {name} drawn?"),
    "style": ("which style is this?", "what style is the picture drawn in?", "in which style is it drawn?",
              "what is the style of the drawing?"),
}  # fmt: skip


class Question(NamedTuple):
    """A question, its only right answer (one to three lower-case words) and its kind."""

    kind: str
    text: str
    answer: str


def question_kinds(world: World) -> tuple[str, ...]:
    """The kinds of questions that scenes of ``world`` are asked."""
    kinds = ["what", "color", "count", "where", "exists", "beside"]
    if world.free:
        kinds += ["larger", "background"]
    return (*kinds, "style") if world.things.styles else tuple(kinds)


def sample_question(scene: Scene, rng: np.random.Generator) -> Question:
    """Draw a question about ``scene``, of any kind that can be asked of it."""
    kinds = question_kinds(scene.world)
    while True:
        question = ask(scene, rng, kinds[rng.integers(len(kinds))])
        if question is not None:
            return question


def ask(
    scene: Scene, rng: np.random.Generator, kind: str, wordings: Mapping[str, Sequence[str]] = WORDINGS
) -> Question | None:
    """A question of that kind in one of ``wordings``; ``None`` where the scene has no certain answer to the one drawn.
    Raises ``ValueError`` where the world has no such kind."""
    if kind not in question_kinds(scene.world):
        raise ValueError(f"unknown question kind {kind!r}; choose from {', '.join(question_kinds(scene.world))}")
    found = _ASK[kind](scene, rng)
    if found is None or found.wording not in wordings:
        return None
    return Question(kind, pick(rng, wordings[found.wording]).format(**found.words), found.answer)


class Found(NamedTuple):
    """What to ask: a key of the wordings, the answer, and what stands in the wording's braces."""

    wording: str
    answer: str
    words: dict[str, str]


def _what(scene: Scene, rng: np.random.Generator) -> Found | None:
    noun = scene.world.things.noun
    group = pick(rng, scene.groups)
    if len(scene.groups) == 1:
        return Found("the only", group.name, {"noun": noun})
    if group.color and all(other is group or other.color not in (group.color, None) for other in scene.groups):
        return Found("of that color", group.name, {"noun": noun, "color": group.color})
    clear = [thing for thing in scene.objects if thing.cell is not None and _alone(thing, scene)]
    if not clear:
        return None
    thing = pick(rng, clear)
    return Found("at that place", thing.name, {"noun": noun, "place": _at(thing.cell)})


def _color(scene: Scene, rng: np.random.Generator) -> Found | None:
    painted = [group for group in scene.groups if group.color]
    if not painted:
        return None
    group = pick(rng, painted)
    name, are = _noun(group)
    return Found("color", group.color or "", {"color": pick(rng, SPELLINGS), "are": are, "name": name})


def _count(scene: Scene, rng: np.random.Generator) -> Found | None:
    roll = rng.random()
    cast = scene.world.things
    if roll < 0.2:
        return Found("count all", NUMBER_WORDS[len(scene.objects)], {"nouns": plural(cast.noun)})
    present = {group.name: group.count for group in scene.groups}
    name = _absent(scene, rng) if roll < 0.35 else pick(rng, scene.groups).name
    return Found("count", NUMBER_WORDS[present.get(name, 0)], {"name": plural(name)})


def _where(scene: Scene, rng: np.random.Generator) -> Found | None:
    single = [i for i, group in enumerate(scene.groups) if group.count == 1]
    if len(single) == 2 and rng.random() < 0.7:
        a, b = (single[k] for k in rng.permutation(2))
        relations = scene.relations(a, b)
        if len(relations) == 1:
            (one, are), (other, _) = (_noun(scene.groups[k]) for k in (a, b))
            return Found("relation", _RELATION_ANSWERS[relations[0]], {"a": one, "b": other, "are": are})
    placed = [(i, cell) for i in single if (cell := scene.members(i)[0].cell) is not None]
    if placed:
        i, cell = pick(rng, placed)
        name, are = _noun(scene.groups[i])
        return Found("where", CELL_NAMES[cell], {"name": name, "are": are})
    # Ask of a cell whether it is filled.
    filled = [thing.cell for thing in scene.objects if thing.cell is not None]
    empty = [cell for cell in range(len(CELL_NAMES)) if not any(_reaches(thing, cell) for thing in scene.objects)]
    present = bool(rng.random() < 0.5)
    if not (filled if present else empty):
        return None
    return Found("anything", "yes" if present else "no", {"place": _at(pick(rng, filled if present else empty))})


def _exists(scene: Scene, rng: np.random.Generator) -> Found | None:
    cast = scene.world.things
    group = pick(rng, scene.groups)
    color, name, yes = group.color, group.name, bool(rng.random() < 0.5)
    if not yes:
        # Hard negatives: the right thing in a wrong colour, or the right colour on a wrong thing.
        if color and rng.random() < 0.5:
            color = pick(rng, [other for other in COLORS if other != color])
        else:
            name = _absent(scene, rng)
    thing = f"{color} {name}" if color and (cast.paint == "always" or not yes or rng.random() < 0.5) else name
    return Found("exists", "yes" if yes else "no", {"thing": indefinite(thing)})


def _two(scene: Scene, rng: np.random.Generator) -> tuple[Thing, Thing] | None:
    if [group.count for group in scene.groups] != [1, 1]:
        return None
    a, b = rng.permutation(2)
    return scene.objects[a], scene.objects[b]


def _larger(scene: Scene, rng: np.random.Generator) -> Found | None:
    two = _two(scene, rng)
    if two is None:
        return None
    small, large = sorted(two, key=lambda thing: thing.size)
    if large.size < LARGER * small.size:
        return None
    wording, answer = ("larger", large) if rng.random() < 0.5 else ("smaller", small)
    return Found(wording, answer.name, {"a": two[0].name, "b": two[1].name})


def _beside(scene: Scene, rng: np.random.Generator) -> Found | None:
    two = _two(scene, rng)
    if two is None:
        return None
    a, b = two
    relations = relations_between(a, b)
    if not relations:
        return None
    noun = scene.world.things.noun
    return Found("beside", a.name, {"relation": pick(rng, relations), "name": b.name, "noun": noun})


def _background(scene: Scene, rng: np.random.Generator) -> Found | None:
    group = pick(rng, scene.groups)
    name, are = _noun(group)
    words = {"color": pick(rng, SPELLINGS), "name": name, "are": are}
    return Found("background", scene.background.name, words)


def _style(scene: Scene, rng: np.random.Generator) -> Found | None:
    return Found("style", scene.style, {})


_ASK: dict[str, Callable[[Scene, np.random.Generator], Found | None]] = {
    "what": _what, "color": _color, "count": _count, "where": _where, "exists": _exists,
    "larger": _larger, "beside": _beside, "background": _background, "style": _style,
}  # fmt: skip


def _noun(group: Group) -> tuple[str, str]:
    """Its name in its number, and the verb."""
    return group.name if group.count == 1 else plural(group.name), verb(group.name, group.count)


def _absent(scene: Scene, rng: np.random.Generator) -> str:
    present = {group.name for group in scene.groups}
    while True:
        name = pick(rng, scene.world.things.names)
        if name not in present:
            return name


def _at(cell: int | None) -> str:
    assert cell is not None
    name = CELL_NAMES[cell]
    return f"in the {name}" if name == "center" else f"at the {name}"


def _alone(thing: Thing, scene: Scene) -> bool:
    """Whether no other thing reaches into its cell."""
    assert thing.cell is not None
    return not any(other is not thing and _reaches(other, thing.cell) for other in scene.objects)


def _reaches(thing: Thing, cell: int) -> bool:
    row, column = divmod(cell, GRID)
    x0, y0, x1, y1 = (GRID * edge for edge in thing.box)
    return x0 < column + 1 and x1 > column and y0 < row + 1 and y1 > row
