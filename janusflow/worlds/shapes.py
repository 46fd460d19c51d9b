"""The cast of six flat shapes, drawn with Pillow and anti-aliased by supersampling."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from janusflow.worlds.casts import Box, Cast, unit
from janusflow.worlds.vocabulary import COLORS, RGB

if TYPE_CHECKING:
    from janusflow.worlds.scenes import Group, Thing

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
SUPERSAMPLE = 6
RING_HOLE = 0.5  # inner over outer diameter
CROSS_BAR = 0.36  # bar width over diameter
STAR_WAIST = 0.45  # inner over outer radius of the star
MASK = 240  # pixels a side, to measure extents with

# Compositions that no training image or caption ever shows: every shape once, six colours once,
# and three of the eighteen (count, shape) combinations.
HELD_OUT_PAIRS = frozenset(
    {
        ("purple", "star"),
        ("brown", "circle"),
        ("pink", "square"),
        ("orange", "triangle"),
        ("white", "cross"),
        ("green", "ring"),
    }
)
HELD_OUT_COUNTS = frozenset({(3, "star"), (4, "ring"), (2, "cross")})

Point = tuple[float, float]


class Shapes(Cast):
    """Circles, squares, triangles, stars, crosses and rings, upright, each of one colour."""

    noun = "shape"
    image_size = 48
    names = SHAPES
    synonyms = {
        "circle": ("disc", "disk", "dot"),
        "square": ("box", "block"),
        "cross": ("plus", "plus sign"),
        "ring": ("hoop",),
    }
    paint = "always"
    sizes = {1: (0.26, 0.54), 2: (0.24, 0.48), 3: (0.22, 0.40), 4: (0.21, 0.36), 5: (0.20, 0.31)}

    def extent(self, name: str, style: str, angle: int, mirrored: bool) -> Box:
        return extent(name)

    def draw(self, canvas: Image.Image, things: tuple[Thing, ...], style: str) -> Image.Image:
        width, height = (SUPERSAMPLE * edge for edge in canvas.size)
        mask = Image.new("L", (width, height))
        pen = ImageDraw.Draw(mask)
        for thing in things:
            x, y, size = (value * unit(mask.size) for value in (thing.x, thing.y, thing.size))
            pen.rectangle((0, 0, *mask.size), fill=0)
            draw_shape(pen, thing.name, x, y, size, 255, 0)
            assert thing.rgb is not None, "every shape has a paint"
            canvas.paste(thing.rgb, mask=mask.resize(canvas.size, Image.Resampling.BOX))
        return canvas

    def held_out(self, group: Group) -> bool:
        return (group.color, group.name) in HELD_OUT_PAIRS or (group.count, group.name) in HELD_OUT_COUNTS

    def shade(self, color: str) -> RGB:
        return COLORS[color]


@cache
def extent(name: str) -> Box:
    """The box of the shape of diameter 1, measured."""
    mask = Image.new("L", (MASK, MASK))
    draw_shape(ImageDraw.Draw(mask), name, MASK / 2 - 0.5, MASK / 2 - 0.5, MASK / 1.2, 255, 0)
    rows, columns = (np.flatnonzero(np.asarray(mask).any(axis)) for axis in (1, 0))
    left, top, right, bottom = (
        1.2 * (edge / MASK - 0.5) for edge in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    )
    return left, top, right, bottom


def draw_shape(
    draw: ImageDraw.ImageDraw, shape: str, x: float, y: float, size: float, fill: tuple | int, hole: tuple | int
) -> None:
    """Draw one shape centred at (x, y), ``size`` pixels in diameter; ``hole`` fills the inside of a ring."""
    r = size / 2
    if shape in ("circle", "ring"):
        draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)
        if shape == "ring":
            inner = r * RING_HOLE
            draw.ellipse((x - inner, y - inner, x + inner, y + inner), fill=hole)
    elif shape == "square":
        half = 0.85 * r
        draw.rectangle((x - half, y - half, x + half, y + half), fill=fill)
    elif shape == "cross":
        bar = CROSS_BAR * r
        draw.rectangle((x - r, y - bar, x + r, y + bar), fill=fill)
        draw.rectangle((x - bar, y - r, x + bar, y + r), fill=fill)
    elif shape == "triangle":
        draw.polygon(_ring_of_points(x, y + 0.12 * size, [1.1 * r], 3), fill=fill)
    elif shape == "star":
        draw.polygon(_ring_of_points(x, y + 0.04 * size, [1.1 * r, 1.1 * r * STAR_WAIST], 10), fill=fill)
    else:
        raise ValueError(f"unknown shape {shape!r}")


def _ring_of_points(x: float, y: float, radii: list[float], n: int) -> list[Point]:
    """``n`` points around (x, y), the first straight up, at the given radii in turn."""
    angles = [-math.pi / 2 + 2 * math.pi * i / n for i in range(n)]
    return [
        (x + radii[i % len(radii)] * math.cos(a), y + radii[i % len(radii)] * math.sin(a)) for i, a in enumerate(angles)
    ]
