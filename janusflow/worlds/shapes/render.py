"""Draws scenes with Pillow, anti-aliased by supersampling."""

from __future__ import annotations

import math

from PIL import Image, ImageDraw

from janusflow.worlds.shapes.scenes import Scene

IMAGE_SIZE = 48  # pixels, the side of a picture at the size the shipped models use
SUPERSAMPLE = 6
RING_HOLE = 0.5  # inner over outer diameter
CROSS_BAR = 0.36  # bar width over diameter
STAR_WAIST = 0.45  # inner over outer radius of the star

Point = tuple[float, float]


def render(scene: Scene, size: int = IMAGE_SIZE) -> Image.Image:
    """The picture of ``scene``: RGB, ``size`` x ``size`` pixels."""
    side = size * SUPERSAMPLE
    canvas = Image.new("RGB", (side, side), scene.background)
    draw = ImageDraw.Draw(canvas)
    for item in scene.objects:
        draw_shape(draw, item.shape, item.x * side, item.y * side, item.size * side, item.rgb, scene.background)
    return canvas.resize((size, size), Image.Resampling.BOX)


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
