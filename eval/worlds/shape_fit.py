"""Matches an opacity map with templates of the six shapes, at sub-pixel positions and sizes.

A template is the shape's master mask, drawn once by ``render.draw_shape``, seen through two one-dimensional samplers:
``rows @ master @ columns.T``. So any centre, diameter and blur costs two small matrix products, and only the samplers
are cached. Lengths are in pixels; whole numbers are the centres of pixels.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy.special import ndtr

from janusflow.worlds.shapes import SHAPES, draw_shape

CELLS = 48  # cells a side of a shape's master mask
MASTER_SPAN = 1.2  # its width in diameters
HALF = 16  # templates are (2 * HALF + 1) pixels a side
SIZES = (4.0, 30.0)  # diameters that are tried
BLURS = (0.0, 0.5, 0.8)  # standard deviations of the soft edges that are tried: sharp, as drawn and blurred a little
OFFSET_STEPS, SIZE_STEPS = 16, 8  # the cache rounds shifts and diameters to these steps a pixel


class Pose(NamedTuple):
    """A template's parameters: centre, diameter and standard deviation of the blur."""

    x: float
    y: float
    size: float
    blur: float


class Fit(NamedTuple):
    """The best shape, its pose in the picture, its soft IoU (0 to 1) and the lead of that over the next shape's."""

    shape: str
    pose: Pose
    iou: float
    margin: float


def fit_shape(alpha: np.ndarray) -> Fit:
    """The shape that fits an opacity map [rows, columns] best, by soft IoU.

    ``alpha`` has values in [0, 1], not all of them 0, as :func:`sharpen` leaves them. Position and size come from its
    first moments, one pair for each shape; the two best shapes are then refined over size and blur, and over shifts.
    """
    area = float(alpha.sum())
    cx, cy = (float(alpha.sum(axis) @ np.arange(alpha.shape[1 - axis])) / area for axis in (0, 1))
    column, row = round(cx), round(cy)
    target = np.pad(alpha, HALF)[row : row + 2 * HALF + 1, column : column + 2 * HALF + 1]
    outside = area - float(target.sum())
    starts = [_moment_pose(shape, area, cx - column, cy - row) for shape in SHAPES]
    rough = _ious(target, outside, list(SHAPES), starts)
    fits: list[tuple[float, str, Pose]] = []
    for index in np.argsort(-rough)[:2]:
        iou, shape, pose = float(rough[index]), SHAPES[index], starts[index]
        for moves in (_size_moves, _shift_moves):
            poses = moves(pose)
            ious = _ious(target, outside, [shape] * len(poses), poses)
            iou, pose = max((iou, pose), (float(ious.max()), poses[int(ious.argmax())]))
        fits.append((iou, shape, pose))
    (iou, shape, pose), (second, _, _) = sorted(fits, reverse=True)
    return Fit(shape, pose._replace(x=pose.x + column, y=pose.y + row), iou, iou - second)


def _moment_pose(shape: str, area: float, cx: float, cy: float) -> Pose:
    mean_x, mean_y, unit_area = _moments(shape)
    size = float(np.clip((area / unit_area) ** 0.5, *SIZES))
    return Pose(cx - mean_x * size, cy - mean_y * size, size, BLURS[1])


def _size_moves(pose: Pose) -> list[Pose]:
    return [Pose(pose.x, pose.y, pose.size * k, blur) for k in (0.97, 1.0, 1.03) for blur in BLURS]


def _shift_moves(pose: Pose) -> list[Pose]:
    steps = (-0.15, 0.0, 0.15)
    return [Pose(pose.x + dx, pose.y + dy, pose.size, pose.blur) for dx in steps for dy in steps]


def _ious(target: np.ndarray, outside: float, shapes: list[str], poses: list[Pose]) -> np.ndarray:
    """Soft IoU (sum of minima over sum of maxima) of each template with ``target``, a window of an opacity map.

    The poses are relative to the window's central pixel; ``outside`` is the opacity that the window leaves out.
    """
    masters = np.array([_master(shape) for shape in shapes])
    down = np.array([_sampler(*_steps(pose.y, pose)) for pose in poses])
    across = np.array([_sampler(*_steps(pose.x, pose)) for pose in poses])
    templates = sharpen(down @ masters @ across.transpose(0, 2, 1))
    shared = np.minimum(templates, target).sum((1, 2))
    return shared / (templates.sum((1, 2)) + target.sum() + outside - shared)


def _steps(center: float, pose: Pose) -> tuple[int, int, float]:
    return round(center * OFFSET_STEPS), round(pose.size * SIZE_STEPS), pose.blur


def sharpen(opacity: np.ndarray) -> np.ndarray:
    """Stretch opacities about one half, so that noise on empty and on full pixels vanishes; edges keep their place."""
    return np.clip((opacity - 0.1) / 0.8, 0, 1)


@lru_cache(maxsize=20_000)
def _sampler(offset: int, size: int, blur: float) -> np.ndarray:
    """Weights [2 * HALF + 1, CELLS]: how much of each pixel a row of the master's cells covers, blurred.

    Exact: cell and pixel are boxes, so a weight is the second difference of the twice integrated Gaussian.
    ``offset`` and ``size`` are in steps, ``blur`` in pixels.
    """
    cells = offset / OFFSET_STEPS + size / SIZE_STEPS * MASTER_SPAN * np.linspace(-0.5, 0.5, CELLS + 1)
    u = np.arange(2 * HALF + 2)[:, None] - HALF - 0.5 - cells
    if blur:
        integral = u * ndtr(u / blur) + blur * np.exp(-0.5 * np.square(u / blur)) / np.sqrt(2 * np.pi)
    else:
        integral = np.maximum(u, 0.0)
    return -np.diff(np.diff(integral, axis=0), axis=1).astype(np.float32)


@cache
def _master(shape: str) -> np.ndarray:
    """The shape's opacity [CELLS, CELLS] on a square of ``MASTER_SPAN`` diameters around its centre."""
    fine = 8
    side = CELLS * fine
    canvas = Image.new("L", (side, side), 0)
    middle = side / 2 - 0.5  # Pillow counts from pixel centres
    draw_shape(ImageDraw.Draw(canvas), shape, middle, middle, side / MASTER_SPAN, 255, 0)
    return np.asarray(canvas.resize((CELLS, CELLS), Image.Resampling.BOX), np.float32) / 255


@cache
def _moments(shape: str) -> tuple[float, float, float]:
    """Mean x, mean y and area of the shape of diameter 1, relative to its centre."""
    master = _master(shape)
    places = MASTER_SPAN * ((np.arange(CELLS) + 0.5) / CELLS - 0.5)
    total = master.sum()
    return (
        float((master.sum(0) * places).sum() / total),
        float((master.sum(1) * places).sum() / total),
        float(total) * (MASTER_SPAN / CELLS) ** 2,
    )


@cache
def extent(shape: str) -> tuple[float, float, float, float]:
    """The box (x0, y0, x1, y1) of the shape of diameter 1, relative to its centre."""
    master = _master(shape) > 0.1
    edges = MASTER_SPAN * (np.arange(CELLS + 1) / CELLS - 0.5)
    columns, rows = np.flatnonzero(master.any(0)), np.flatnonzero(master.any(1))
    return float(edges[columns[0]]), float(edges[rows[0]]), float(edges[columns[-1] + 1]), float(edges[rows[-1] + 1])
