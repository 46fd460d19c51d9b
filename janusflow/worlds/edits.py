"""Edits of scenes, with the words that ask for them: recolour, add, remove, move. Nothing else changes.

An instruction names what it is about by its name, which no other group of the scene has, or by its name and colour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from janusflow.worlds.captions import group_phrase, pick, place_phrase
from janusflow.worlds.casts import Cast
from janusflow.worlds.placement import GRID
from janusflow.worlds.scenes import (
    Group,
    Scene,
    Split,
    Thing,
    World,
    compose,
    groups_held_out,
    painted,
    placed_in,
    some_color,
)
from janusflow.worlds.vocabulary import CELL_NAMES, COLORS, NUMBER_WORDS, plural

EditKind = Literal["recolour", "add", "remove", "move"]
EDIT_KINDS: tuple[EditKind, ...] = ("recolour", "add", "remove", "move")

MOST_GROUPS, MOST_THINGS = 3, 4
SEVERAL = 0.25  # of the groups that have two things
NAMED_COLOR = 0.4  # of the things in colours that are named with theirs
WITHOUT_PLACE = 0.25  # of the additions that leave open where
PLAIN = 0.3  # of the instructions that have the first form
HELD_OUT_STEP = 6  # of the names, one in so many is held out of each kind of edit
SCENE = "edit"  # the kind of the scenes

# "{thing}" is what is changed, with its article, "{name}" without.
FORMS: dict[EditKind, tuple[str, ...]] = {
    "recolour": (
        "make {thing} {color}", "paint {thing} {color}", "color {thing} {color}", "colour {thing} {color}",
        "turn {thing} {color}", "draw {thing} in {color}", "please make {thing} {color}", "i want {thing} in {color}",
        "give {thing} the color {color}", "make the color of {thing} {color}", "{thing} should be {color}",
        "let {thing} be {color}", "show {thing} in {color}",
    ),
    "add": (
        "add {thing} {place}", "put {thing} {place}", "draw {thing} {place}", "place {thing} {place}",
        "please add {thing} {place}", "i want {thing} {place}", "make {thing} {place}", "show {thing} {place}",
        "there should be {thing} {place}", "let there be {thing} {place}", "i would like to see {thing} {place}",
    ),
    "remove": (
        "remove {thing}", "take {thing} away", "delete {thing}", "erase {thing}", "please remove {thing}",
        "take {thing} out of the picture", "get rid of {thing}", "draw it without {thing}",
        "the picture without {thing}", "{thing} should not be there", "i want to see no {name}", "no {name} please",
    ),
    "move": (
        "move {thing} {to}", "put {thing} {place}", "place {thing} {place}", "please move {thing} {to}",
        "draw {thing} {place}", "show {thing} {place}", "{thing} should be {place}", "i want {thing} {place}",
        "let {thing} be {place}", "shift {thing} {to}",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Edit:
    """One edit: what the picture shows before and after, and what is asked.

    group: what changes, as ``target`` shows it ("remove": as ``source`` does). changed: its things in ``target``.
    untouched: things of both scenes. cell: where the added or moved thing is asked to be; None: nothing is said.
    """

    kind: EditKind
    source: Scene
    target: Scene
    instruction: str
    group: Group
    changed: tuple[Thing, ...]
    untouched: tuple[Thing, ...]
    cell: int | None = None

    @property
    def held_out(self) -> bool:
        """Whether training must never show it for what there is in either scene."""
        return any(shows_held_out(scene) for scene in (self.source, self.target))

    @property
    def held_out_edit(self) -> bool:
        """Whether training must never do this to such things, which it shows all the same."""
        return edit_held_out(self.source.world.things, self.kind, self.group.name)


def shows_held_out(scene: Scene) -> bool:
    """Whether training must never show a scene of however many groups."""
    cast = scene.world.things
    return any(groups_held_out(cast, pair) for pair in combinations(scene.groups, min(2, len(scene.groups))))


def edit_held_out(cast: Cast, kind: EditKind, name: str) -> bool:
    """Whether training must never do such an edit to things of that name."""
    return (cast.names.index(name) + EDIT_KINDS.index(kind)) % HELD_OUT_STEP == 0


def sample_edit(
    rng: np.random.Generator,
    world: World | None = None,
    split: Split = "train",
    kind: EditKind | None = None,
    held_out_edit: bool = False,
) -> Edit:
    """Draw an edit of a scene of ``world`` (default: the shapes, free).

    ``split="train"`` never shows a held-out composition, before or after; ``"held_out"`` always shows one. The kind is
    never held out of training for what it is done to, or always (``held_out_edit``).
    """
    world = world or World()
    wanted: EditKind = pick(rng, EDIT_KINDS) if kind is None else kind
    while True:
        edit = EDITS[wanted](rng, _scene(rng, world, least=1 + (wanted in ("add", "remove"))))
        if edit and edit.held_out == (split == "held_out") and edit.held_out_edit == held_out_edit:
            return edit


def _scene(rng: np.random.Generator, world: World, least: int) -> Scene:
    """A scene of at least ``least`` groups of distinct names, of one or two things each."""
    cast = world.things
    count = int(rng.integers(least, MOST_GROUPS + 1))
    groups: list[Group] = []
    for name in rng.choice(len(cast.names), size=count, replace=False):
        left = MOST_THINGS - sum(group.count for group in groups) - (count - len(groups) - 1)
        several = left > 1 and rng.random() < SEVERAL
        groups.append(Group(cast.names[name], some_color(rng, cast), 1 + several))
    return compose(rng, world, SCENE, tuple(groups))


def _recolour(rng: np.random.Generator, scene: Scene) -> Edit:
    number = int(rng.integers(len(scene.groups)))
    before = scene.groups[number]
    color = pick(rng, [one for one in COLORS if one != before.color])
    group = replace(before, color=color)
    changed = tuple(painted(rng, scene.world.things, thing, color) for thing in scene.members(number))
    target = with_group(scene, number, group, changed)
    said = instruction(rng, "recolour", before, color=color)
    return Edit("recolour", scene, target, said, group, changed, others(scene, number))


def _add(rng: np.random.Generator, scene: Scene) -> Edit | None:
    """The scene is that after the edit."""
    single = [number for number, group in enumerate(scene.groups) if group.count == 1]
    if not single:
        return None
    number = pick(rng, single)
    group, (thing,) = scene.groups[number], scene.members(number)
    cell = None if rng.random() < WITHOUT_PLACE else thing.cell
    said = instruction(rng, "add", group, cell=cell)
    source = with_group(scene, number, None, ())
    return Edit("add", source, scene, said, group, (thing,), others(scene, number), cell)


def _remove(rng: np.random.Generator, scene: Scene) -> Edit:
    number = int(rng.integers(len(scene.groups)))
    group = scene.groups[number]
    target = with_group(scene, number, None, ())
    return Edit("remove", scene, target, instruction(rng, "remove", group), group, (), others(scene, number))


def _move(rng: np.random.Generator, scene: Scene) -> Edit | None:
    """From a cell to another."""
    single = [n for n, group in enumerate(scene.groups) if group.count == 1 and scene.members(n)[0].cell is not None]
    if not single:
        return None
    number = pick(rng, single)
    group, (thing,) = scene.groups[number], scene.members(number)
    for cell in rng.permutation(GRID * GRID).tolist():
        moved = placed_in(rng, scene, thing, cell) if cell != thing.cell else None
        if moved is not None:
            target = with_group(scene, number, group, (moved,))
            said = instruction(rng, "move", group, cell=cell)
            return Edit("move", scene, target, said, group, (moved,), others(scene, number), cell)
    return None


EDITS: dict[EditKind, Callable[[np.random.Generator, Scene], Edit | None]] = {
    "recolour": _recolour,
    "add": _add,
    "remove": _remove,
    "move": _move,
}


def with_group(scene: Scene, number: int, group: Group | None, things: tuple[Thing, ...]) -> Scene:
    """The scene with another group in the place of group ``number``, of these things; None: without it."""
    members = [scene.members(n) if n != number else things for n in range(len(scene.groups))]
    groups = [*scene.groups[:number], *([] if group is None else [group]), *scene.groups[number + 1 :]]
    return replace(scene, groups=tuple(groups), objects=tuple(thing for several in members for thing in several))


def others(scene: Scene, number: int) -> tuple[Thing, ...]:
    """The things of all groups but ``number``."""
    return tuple(thing for n in range(len(scene.groups)) if n != number for thing in scene.members(n))


def instruction(
    rng: np.random.Generator, kind: EditKind, group: Group, color: str | None = None, cell: int | None = None
) -> str:
    """Words that ask for an edit of a group: of a new ``color``, or a new place, ``cell``."""
    forms = FORMS[kind]
    form = forms[0] if rng.random() < PLAIN else pick(rng, forms)
    one = group.name if group.count == 1 else plural(group.name)
    colored = kind == "add" or rng.random() < NAMED_COLOR
    name = f"{group.color} {one}" if colored and group.color else one
    number = f"{NUMBER_WORDS[group.count]} " if group.count > 1 and rng.random() < 0.5 else ""
    thing = group_phrase(group, True) if kind == "add" else f"the {number}{name}"
    place = "" if cell is None else place_phrase(cell)
    to = "" if cell is None else f"to the {CELL_NAMES[cell]}"
    return form.format(thing=thing, name=name, color=color, place=place, to=to).strip()
