"""Where things stand: on a grid as on dice (level "fixed"), or anywhere (level "free").

Things never touch, and every relation in a caption holds under GenEval's own rule for positions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

from janusflow.worlds.casts import SQUARE, Box, Cast, Frame

if TYPE_CHECKING:
    from janusflow.worlds.scenes import Group

Level = Literal["fixed", "free"]
LEVELS: tuple[Level, ...] = get_args(Level)

GRID = 3
# Number of things -> the cells (in raster order) that they may fill together.
ARRANGEMENTS: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((4,),),
    2: ((3, 5), (1, 7)),
    3: ((3, 4, 5), (1, 4, 7)),
    4: ((0, 2, 6, 8),),
    5: ((0, 2, 4, 6, 8),),
}
FIXED_SIZES = (0.24, 0.29)
MARGIN = 0.02  # free space inside a cell's border, at the picture's, and between boxes
TRIES = 20  # places that are tried for a thing before all are made smaller
SHRINK = 0.94


class Placed(NamedTuple):
    """The fields of a :class:`~janusflow.worlds.scenes.Thing` that say how it stands."""

    x: float
    y: float
    size: float
    box: Box
    scale: float
    angle: int = 0
    mirrored: bool = False


def place_on_grid(
    rng: np.random.Generator,
    cast: Cast,
    groups: tuple[Group, ...],
    style: str,
    shuffled: bool,
    frame: Frame = SQUARE,
) -> list[Placed]:
    """Upright things in distinct cells, moved a little inside the cell.

    A number of things is arranged as on dice, upright or lying, and groups fill the arrangement in reading order, or
    in any (``shuffled``). Raises ``ValueError`` for a frame that is no square: its cells are too low for the things.
    """
    if frame != SQUARE:
        raise ValueError("things stand on a grid in squares alone: pictures of other shapes are of the level 'free'")
    arrangements = ARRANGEMENTS[sum(group.count for group in groups)]
    arrangement = arrangements[rng.integers(len(arrangements))]
    cells = iter(rng.permutation(arrangement) if shuffled else arrangement)
    placed = []
    for group in groups:
        for _ in range(group.count):
            cell = int(next(cells))
            size = float(rng.uniform(*FIXED_SIZES))
            play = (1 / GRID - size) / 2 - MARGIN
            x, y = ((k + 0.5) / GRID + float(rng.uniform(-play, play)) for k in (cell % GRID, cell // GRID))
            box = _moved(cast.extent(group.name, style, 0, False), x, y, size)
            placed.append(Placed(x, y, size, box, scale=0.5))
    return placed


def place_freely(
    rng: np.random.Generator,
    cast: Cast,
    groups: tuple[Group, ...],
    style: str,
    shuffled: bool,
    frame: Frame = SQUARE,
) -> list[Placed]:
    """Things anywhere, of any size in the cast's range for so many, turned and mirrored as the cast allows."""
    smallest, largest = map(math.log, cast.sizes[sum(group.count for group in groups)])
    poses = []
    for group in groups:
        for _ in range(group.count):
            angle = cast.angles[rng.integers(len(cast.angles))]
            mirrored = cast.mirrors and bool(rng.random() < 0.5)
            scale = float(rng.random())
            size = math.exp(smallest + scale * (largest - smallest))
            poses.append((cast.extent(group.name, style, angle, mirrored), size, scale, angle, mirrored))
    shrunk = 1.0
    while True:
        placed: list[Placed] = []
        for extent, full, scale, angle, mirrored in poses:
            size = shrunk * full
            for _ in range(TRIES):
                x, y = (
                    rng.uniform(MARGIN - size * low, max(edge - MARGIN - size * high, MARGIN - size * low))
                    for low, high, edge in ((extent[0], extent[2], frame[0]), (extent[1], extent[3], frame[1]))
                )
                box = _moved(extent, x, y, size)
                if box[3] <= frame[1] and box[2] <= frame[0] and not any(_touch(box, one.box) for one in placed):
                    placed.append(Placed(float(x), float(y), size, box, scale, angle, mirrored))
                    break
            else:
                break
        if len(placed) == len(poses):
            return placed
        shrunk *= SHRINK


def place_in_cell(
    rng: np.random.Generator, extent: Box, size: float, cell: int, play: float, others: Sequence[Box]
) -> tuple[float, float, Box] | None:
    """Centre and box of a thing of that size somewhere in a cell, at most ``play`` from the cell's middle along each
    side, inside the picture and touching none of the ``others``; None where nothing was found."""
    if play < 0:
        return None
    for _ in range(TRIES):
        x, y = ((k + 0.5) / GRID + float(rng.uniform(-play, play)) for k in (cell % GRID, cell // GRID))
        box = _moved(extent, x, y, size)
        inside = min(box) >= MARGIN and max(box) <= 1 - MARGIN
        if inside and not any(_touch(box, other) for other in others):
            return x, y, box
    return None


def _moved(extent: Box, x: float, y: float, size: float) -> Box:
    left, top, right, bottom = extent
    return x + size * left, y + size * top, x + size * right, y + size * bottom


def _touch(one: Box, other: Box) -> bool:
    apart = (
        one[0] - other[2] > MARGIN
        or other[0] - one[2] > MARGIN
        or one[1] - other[3] > MARGIN
        or other[1] - one[3] > MARGIN
    )
    return not apart
