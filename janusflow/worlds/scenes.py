"""Scenes: what is in a picture and where. Coordinates are fractions of the picture's unit, y downwards.

The unit is the side of a square picture, and of another shape that of the square of the same area: so things are as
large in it, and left of, above and the distance between mean what they do in a square.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from PIL import Image

from janusflow.worlds.casts import SQUARE, Box, Cast, Frame, cast_of, unit
from janusflow.worlds.placement import (
    GRID,
    LEVELS,
    MARGIN,
    Level,
    Placed,
    place_freely,
    place_in_cell,
    place_on_grid,
)
from janusflow.worlds.vocabulary import BACKGROUNDS, COLORS, KINDS, RELATIONS, RGB

Split = Literal["train", "held_out"]

COLOR_JITTER = 5  # 8-bit levels, uniform, per scene (background) and per thing
PAINTED = 0.35  # of the groups whose things have colours of their own, where the scene is not about colours
GRADIENT_SHARE, GRADIENT = 0.4, 16.0  # of the free scenes; levels from the middle to either end
DOUBT = 0.06  # a scene about a relation is as far from GenEval's limit as a detector may err
CLEAR = 0.035  # a centre this near to the border between two cells is in neither
SAME_SHAPE = 0.02  # how far the logarithm of a picture's aspect ratio may be from its scene's
SHUFFLED = ("position", "edit")  # kinds of scenes whose groups stand in any order
SMALL, LARGE = 0.3, 0.7  # of the range that sizes come from: below and above, a thing is called so


@dataclass(frozen=True)
class World:
    """Which things there are, and how they are placed. Raises ``ValueError`` where there is no such cast or level."""

    cast: str = "shapes"
    level: Level = "free"

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f"a world's level is one of {', '.join(LEVELS)}, got {self.level!r}")
        cast_of(self.cast)

    @property
    def things(self) -> Cast:
        """Its cast."""
        return cast_of(self.cast)

    @property
    def free(self) -> bool:
        """Whether things stand anywhere."""
        return self.level == "free"

    def __str__(self) -> str:
        return f"{self.cast} ({self.level})"


@dataclass(frozen=True)
class Thing:
    """One thing in a picture.

    color: None where it has its own colours; rgb: exact paint, of casts that are painted with one
    x, y, size: centre and longer side upright, over the picture's unit; angle: degrees counter-clockwise
    box: of its pixels, over the picture's unit; scale: 0 to 1, where in the range its size was drawn from
    frame: the picture's width and height over its unit
    """

    name: str
    color: str | None
    rgb: RGB | None
    x: float
    y: float
    size: float
    box: Box
    scale: float
    angle: int = 0
    mirrored: bool = False
    frame: Frame = SQUARE

    @property
    def cell(self) -> int | None:
        """The cell of the 3 x 3 grid in which its centre lies, in raster order; None near a border."""
        column, row = (_third(value / edge) for value, edge in zip((self.x, self.y), self.frame, strict=True))
        return None if column is None or row is None else 3 * row + column

    @property
    def bulk(self) -> Literal["small", "large"] | None:
        """What it would be called, of those that stand in such scenes."""
        return "small" if self.scale < SMALL else "large" if self.scale > LARGE else None


def _third(value: float) -> int | None:
    clear = all(abs(value - border) > CLEAR for border in (1 / 3, 2 / 3))
    return min(int(3 * value), 2) if clear else None


@dataclass(frozen=True)
class Group:
    """``count`` things of one name and one colour (None: their own)."""

    name: str
    color: str | None
    count: int


@dataclass(frozen=True)
class Background:
    """A named colour, from ``start`` to ``end``: downwards, or to the right where ``across``."""

    name: str
    start: RGB
    end: RGB
    across: bool = False


@dataclass(frozen=True)
class Scene:
    """A picture's content. ``groups`` have distinct names; ``objects`` list their things, group after group."""

    world: World
    kind: str
    groups: tuple[Group, ...]
    objects: tuple[Thing, ...]
    background: Background
    style: str = ""
    frame: Frame = SQUARE  # the picture's width and height over its unit

    def members(self, group: int) -> tuple[Thing, ...]:
        """The things of group number ``group``."""
        start = sum(g.count for g in self.groups[:group])
        return self.objects[start : start + self.groups[group].count]

    def relations(self, a: int = 0, b: int = 1, least: float = 0.5) -> list[str]:
        """Relations of the first thing of group ``a`` to that of group ``b`` (see :func:`relations_between`)."""
        return relations_between(self.members(a)[0], self.members(b)[0], least)

    @cached_property
    def held_out(self) -> bool:
        """Whether training must never show it."""
        cast = self.world.things
        return groups_held_out(cast, self.groups)

    def render(self, size: int | tuple[int, int] | None = None) -> Image.Image:
        """The picture, RGB. size: pixels of a side, or height and width (default: the cast's side).

        Raises ``ValueError`` for another shape than the scene's own.
        """
        cast = self.world.things
        size = size or cast.image_size
        height, width = (size, size) if isinstance(size, int) else size
        if abs(math.log(width / height) - math.log(self.frame[0] / self.frame[1])) > SAME_SHAPE:
            wide, high = self.frame
            raise ValueError(f"a scene of the shape {wide:.2f} x {high:.2f} is not drawn at {width} x {height} pixels")
        return cast.draw(_ground(self.background, height, width), self.objects, self.style)


def render(scene: Scene, size: int | tuple[int, int] | None = None) -> Image.Image:
    """:meth:`Scene.render` as a function."""
    return scene.render(size)


def frame_of(height: int, width: int) -> Frame:
    """The frame of pictures of so many pixels."""
    return SQUARE if height == width else (width / unit((width, height)), height / unit((width, height)))


def groups_held_out(cast: Cast, groups: tuple[Group, ...]) -> bool:
    """Whether training must never show these groups together."""
    names = [group.name for group in groups]
    return any(map(cast.held_out, groups)) or (len(names) == 2 and cast.held_out_pair(*names))


def relations_between(a: Thing, b: Thing, least: float = 0.5) -> list[str]:
    """Every relation of ``a`` to ``b`` under GenEval's position rule: the offset of the boxes' centres, each component
    reduced by a tenth of the summed sides, divided by the length of the unreduced offset, must pass ``least``."""
    centers, sides = [], []
    for x0, y0, x1, y1 in (a.box, b.box):
        centers.append(((x0 + x1) / 2, (y0 + y1) / 2))
        sides.append((x1 - x0, y1 - y0))
    dx, dy = (one - other for one, other in zip(*centers, strict=True))
    length = max((dx * dx + dy * dy) ** 0.5, 1e-9)
    rx, ry = (
        np.sign(d) * max(abs(d) - 0.1 * (one + other), 0.0) / length
        for d, one, other in zip((dx, dy), *sides, strict=True)
    )
    found = (rx < -least, rx > least, ry < -least, ry > least)
    return [name for name, holds in zip(RELATIONS, found, strict=True) if holds]


def held_out_kinds(cast: Cast) -> tuple[str, ...]:
    """The kinds of scenes that can show something that training never shows."""
    pairs = any(cast.held_out_pair(one, other) for one in cast.names for other in cast.names)
    return ("two_object",) * pairs + ("counting", "colors", "color_attr")


def sample_scene(
    rng: np.random.Generator,
    kind: str | None = None,
    split: Split = "train",
    world: World | None = None,
    frame: Frame = SQUARE,
) -> Scene:
    """Draw a scene of ``world`` (default: the shapes, free), for pictures of that ``frame``.

    ``split="train"`` never shows a held-out composition; ``"held_out"`` always shows at least one.
    Raises ``ValueError`` for an unknown kind, or for a kind that has nothing to hold out.
    """
    world = world or World()
    cast = world.things
    allowed = KINDS if split == "train" else held_out_kinds(cast)
    kind = kind or allowed[rng.integers(len(allowed))]
    if kind not in allowed:
        raise ValueError(f"scene kind {kind!r} does not exist in the {split!r} split; choose from {', '.join(allowed)}")
    while True:
        groups = _sample_groups(rng, kind, cast)
        if groups_held_out(cast, groups) == (split == "held_out"):
            break
    return compose(rng, world, kind, groups, frame=frame)


def compose(
    rng: np.random.Generator,
    world: World,
    kind: str,
    groups: tuple[Group, ...],
    relation: str | None = None,
    frame: Frame = SQUARE,
) -> Scene:
    """A scene of these groups: all that they do not say is drawn.

    relation: of the first group's thing to the second's, where there is one each
    """
    cast = world.things
    style = cast.styles[rng.integers(len(cast.styles))] if cast.styles else ""
    while True:
        place = place_freely if world.free else place_on_grid
        placed = place(rng, cast, groups, style, shuffled=kind in SHUFFLED, frame=frame)
        things = _things(rng, cast, groups, placed, frame)
        scene = Scene(world, kind, groups, things, _background(rng, world.free), style, frame)
        if kind != "position":
            return scene
        sure, possible = scene.relations(least=0.5 + DOUBT), scene.relations(least=0.5 - DOUBT)
        wanted = sure if relation is None else [relation] if relation in sure else []
        if wanted and sure == possible and (world.free or len(sure) == 1):
            return scene


def some_color(rng: np.random.Generator, cast: Cast) -> str | None:
    """A colour for a group that nothing is said of; ``None``: its own."""
    if cast.paint == "sometimes" and rng.random() >= PAINTED:
        return None
    return list(COLORS)[rng.integers(len(COLORS))]


def _sample_groups(rng: np.random.Generator, kind: str, cast: Cast) -> tuple[Group, ...]:
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
    names = rng.choice(len(cast.names), size=len(counts), replace=False)
    # Things of one picture may share a colour unless the caption tells them apart by it.
    told_apart = kind in ("color_attr", "compound")
    colors = rng.choice(len(COLORS), size=len(counts), replace=not told_apart)
    painted = cast.paint == "always" or told_apart or kind == "colors"
    return tuple(
        Group(cast.names[n], list(COLORS)[c] if painted or rng.random() < PAINTED else None, count)
        for n, c, count in zip(names, colors, counts, strict=True)
    )


def _things(
    rng: np.random.Generator, cast: Cast, groups: tuple[Group, ...], placed: list[Placed], frame: Frame
) -> tuple[Thing, ...]:
    owners = [group for group in groups for _ in range(group.count)]
    return tuple(
        Thing(group.name, group.color, _paint(rng, cast, group.color), **place._asdict(), frame=frame)
        for group, place in zip(owners, placed, strict=True)
    )


def painted(rng: np.random.Generator, cast: Cast, thing: Thing, color: str) -> Thing:
    """The thing in another colour."""
    return replace(thing, color=color, rgb=_paint(rng, cast, color))


def placed_in(rng: np.random.Generator, scene: Scene, thing: Thing, cell: int) -> Thing | None:
    """A thing of the scene somewhere in a cell, away from its borders and from all other things; None where there is no
    room."""
    cast, free = scene.world.things, scene.world.free
    extent = cast.extent(thing.name, scene.style, thing.angle, thing.mirrored)
    play = 0.5 / GRID - (CLEAR if free else thing.size / 2 + MARGIN)
    others = [other.box for other in scene.objects if other is not thing]
    found = place_in_cell(rng, extent, thing.size, cell, play, others)
    return None if found is None else replace(thing, x=found[0], y=found[1], box=found[2])


def _paint(rng: np.random.Generator, cast: Cast, color: str | None) -> RGB | None:
    shade = cast.shade(color) if color else None
    return _jitter(rng, shade) if shade else None


def _background(rng: np.random.Generator, free: bool) -> Background:
    if not free:
        name = next(iter(BACKGROUNDS))
        plain = _jitter(rng, BACKGROUNDS[name])
        return Background(name, plain, plain)
    name = list(BACKGROUNDS)[rng.integers(len(BACKGROUNDS))]
    color = np.array(_jitter(rng, BACKGROUNDS[name]))
    rise = rng.uniform(-GRADIENT, GRADIENT) if rng.random() < GRADIENT_SHARE else 0.0
    start, end = (_levels(color + sign * rise) for sign in (-1, 1))
    return Background(name, start, end, bool(rng.random() < 0.5))


def _ground(background: Background, height: int, width: int) -> Image.Image:
    if background.start == background.end:
        return Image.new("RGB", (width, height), background.start)
    side = width if background.across else height
    start, end = (np.array(color, np.float32) for color in (background.start, background.end))
    steps = ((np.arange(side, dtype=np.float32) + 0.5) / side)[:, None]
    line = np.rint(start + steps * (end - start)).astype(np.uint8)
    line = line[None] if background.across else line[:, None]
    return Image.fromarray(np.broadcast_to(line, (height, width, 3)).copy())


def _jitter(rng: np.random.Generator, rgb: RGB) -> RGB:
    return _levels(np.array(rgb) + rng.integers(-COLOR_JITTER, COLOR_JITTER + 1, 3))


def _levels(values: np.ndarray) -> RGB:
    red, green, blue = (int(level) for level in np.clip(np.rint(values), 0, 255))
    return red, green, blue
