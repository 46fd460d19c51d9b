"""Scenes: what is in a picture and where. Coordinates are fractions of the picture's side, y downwards.

Objects stand in distinct cells of a 3 x 3 grid, moved a little inside the cell, so that they never touch and
every relation in a caption holds under GenEval's own rule for positions. A number of objects is arranged as on dice,
upright or lying, and groups fill the arrangement in reading order; scenes about a relation fill it in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from janusflow.worlds.shapes.vocabulary import (
    BACKGROUND,
    COLORS,
    HELD_OUT_COUNTS,
    HELD_OUT_PAIRS,
    KINDS,
    RELATIONS,
    SHAPES,
)

Split = Literal["train", "held_out"]

GRID = 3
# Number of objects -> the cells (in raster order) that they may fill together.
ARRANGEMENTS: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((4,),),
    2: ((3, 5), (1, 7)),
    3: ((3, 4, 5), (1, 4, 7)),
    4: ((0, 2, 6, 8),),
    5: ((0, 2, 4, 6, 8),),
}
MIN_SIZE, MAX_SIZE = 0.24, 0.29  # diameter of the circle around a shape, as a fraction of the side
MARGIN = 0.02  # free space kept inside a cell's border
COLOR_JITTER = 5  # 8-bit levels, uniform, per scene (background) and per object

# Kinds that can show something held out, and so exist in the "held_out" split.
HELD_OUT_KINDS = ("counting", "colors", "color_attr")


@dataclass(frozen=True)
class SceneObject:
    """One shape: name, colour name, exact RGB, centre and diameter as fractions of the side, grid cell 0..8."""

    shape: str
    color: str
    rgb: tuple[int, int, int]
    x: float
    y: float
    size: float
    cell: int


@dataclass(frozen=True)
class Group:
    """``count`` objects of one shape and one colour."""

    shape: str
    color: str
    count: int

    @property
    def held_out(self) -> bool:
        """Whether training must never show this group."""
        return (self.color, self.shape) in HELD_OUT_PAIRS or (self.count, self.shape) in HELD_OUT_COUNTS


@dataclass(frozen=True)
class Scene:
    """A picture's content. ``groups`` have distinct shapes; ``objects`` list them group after group."""

    kind: str
    groups: tuple[Group, ...]
    objects: tuple[SceneObject, ...]
    background: tuple[int, int, int]

    def members(self, group: int) -> tuple[SceneObject, ...]:
        """The objects of group number ``group``."""
        start = sum(g.count for g in self.groups[:group])
        return self.objects[start : start + self.groups[group].count]

    def relations(self, a: int = 0, b: int = 1) -> list[str]:
        """Relations of the first object of group ``a`` to that of group ``b`` (see :func:`relations_between`)."""
        return relations_between(self.members(a)[0], self.members(b)[0])


def relations_between(a: SceneObject, b: SceneObject) -> list[str]:
    """Every relation of ``a`` to ``b`` under GenEval's position rule: the offset of the centres, each component reduced
    by a tenth of the summed sizes, divided by the length of the unreduced offset, must pass 0.5."""
    dx, dy = a.x - b.x, a.y - b.y
    slack = 0.1 * (a.size + b.size)
    length = max((dx * dx + dy * dy) ** 0.5, 1e-9)
    rx = np.sign(dx) * max(abs(dx) - slack, 0.0) / length
    ry = np.sign(dy) * max(abs(dy) - slack, 0.0) / length
    found = (rx < -0.5, rx > 0.5, ry < -0.5, ry > 0.5)
    return [name for name, holds in zip(RELATIONS, found, strict=True) if holds]


def sample_scene(rng: np.random.Generator, kind: str | None = None, split: Split = "train") -> Scene:
    """Draw a scene.

    ``split="train"`` never shows a held-out composition; ``"held_out"`` always shows at least one.
    Raises ``ValueError`` for an unknown kind, or for a kind that has nothing to hold out.
    """
    allowed = KINDS if split == "train" else HELD_OUT_KINDS
    kind = kind or allowed[rng.integers(len(allowed))]
    if kind not in allowed:
        raise ValueError(f"scene kind {kind!r} does not exist in the {split!r} split; choose from {', '.join(allowed)}")
    while True:
        groups = _sample_groups(rng, kind)
        if any(group.held_out for group in groups) == (split == "held_out"):
            break
    while True:
        objects = _place(rng, groups, shuffled=kind == "position")
        scene = Scene(kind, groups, objects, _jitter(rng, BACKGROUND))
        if kind != "position" or len(scene.relations()) == 1:
            return scene


def _sample_groups(rng: np.random.Generator, kind: str) -> tuple[Group, ...]:
    if kind in ("single_object", "colors"):
        counts = [1]
    elif kind == "counting":
        counts = [int(rng.integers(2, 5))]
    elif kind == "compound":
        counts = [int(rng.integers(1, 4)), int(rng.integers(1, 3))]
        if rng.random() < 0.5:
            counts.reverse()
    else:
        counts = [1, 1]
    shapes = rng.permutation(len(SHAPES))
    # Objects of one picture may share a colour unless the caption tells them apart by it.
    colors = rng.choice(len(COLORS), size=len(counts), replace=kind not in ("color_attr", "compound"))
    names = list(COLORS)
    return tuple(Group(SHAPES[s], names[c], n) for s, c, n in zip(shapes, colors, counts, strict=False))


def _place(rng: np.random.Generator, groups: tuple[Group, ...], shuffled: bool) -> tuple[SceneObject, ...]:
    arrangements = ARRANGEMENTS[sum(group.count for group in groups)]
    arrangement = arrangements[rng.integers(len(arrangements))]
    cells = iter(rng.permutation(arrangement) if shuffled else arrangement)
    objects = []
    for group in groups:
        for _ in range(group.count):
            cell = int(next(cells))
            size = float(rng.uniform(MIN_SIZE, MAX_SIZE))
            play = (1 / GRID - size) / 2 - MARGIN
            x, y = ((k + 0.5) / GRID + float(rng.uniform(-play, play)) for k in (cell % GRID, cell // GRID))
            objects.append(SceneObject(group.shape, group.color, _jitter(rng, COLORS[group.color]), x, y, size, cell))
    return tuple(objects)


def _jitter(rng: np.random.Generator, rgb: tuple[int, int, int]) -> tuple[int, int, int]:
    moved = np.clip(np.array(rgb) + rng.integers(-COLOR_JITTER, COLOR_JITTER + 1, 3), 0, 255)
    return int(moved[0]), int(moved[1]), int(moved[2])
