"""The cast of drawings: 66 of GenEval's COCO classes, each in three styles, in colours of their own or tinted.

The drawings are Microsoft's Fluent Emoji (MIT) and Google's Noto Emoji (Apache-2.0): ``assets/objects/drawings``.
"""

from __future__ import annotations

import json
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from janusflow.worlds.casts import Box, Cast, unit
from janusflow.worlds.vocabulary import COLORS

if TYPE_CHECKING:
    from janusflow.worlds.scenes import Group, Thing

DRAWINGS = Path(__file__).parents[1] / "assets" / "objects" / "drawings"
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
OPAQUE = 64  # of 255: more belongs to the drawing
SMALL = 52  # pixels up to which a thing is drawn from a sheet of half the size
# How strongly a tint keeps what was darker and lighter than the drawing's middle.
DARKER = {"white": 0.45}
LIGHTER = {"black": 0.45}
CONTRAST = 0.9
HELD_OUT_STEP = 11  # of the pairs of classes, one in so many is held out


class Objects(Cast):
    """Things of every day, in one style a scene."""

    noun = "object"
    image_size = 64
    styles = ("3d", "flat", "cartoon")  # the last: Noto's
    angles = (-12, -8, -4, 0, 4, 8, 12)
    mirrors = True
    paint = "sometimes"
    sizes = {1: (0.38, 0.80), 2: (0.30, 0.54), 3: (0.28, 0.46), 4: (0.27, 0.42), 5: (0.25, 0.36)}
    synonyms = {
        "bicycle": ("bike",), "car": ("automobile",), "motorcycle": ("motorbike",), "airplane": ("plane", "aeroplane"),
        "boat": ("sailboat",), "traffic light": ("stoplight",), "backpack": ("rucksack",), "handbag": ("purse",),
        "sports ball": ("ball", "football"), "wine glass": ("glass of wine",), "hot dog": ("hotdog",),
        "donut": ("doughnut",), "cake": ("piece of cake",), "couch": ("sofa",), "potted plant": ("houseplant", "plant"),
        "tv": ("television",), "computer mouse": ("mouse",), "computer keyboard": ("keyboard",),
        "cell phone": ("phone", "smartphone"), "teddy bear": ("stuffed bear",), "dog": ("puppy",), "cat": ("kitten",),
        "cup": ("cup of coffee",), "pizza": ("slice of pizza",), "horse": ("pony",),
    }  # fmt: skip

    @property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]
        return classes()

    def extent(self, name: str, style: str, angle: int, mirrored: bool) -> Box:
        return extent(name, style, angle, mirrored)

    def draw(self, canvas: Image.Image, things: tuple[Thing, ...], style: str) -> Image.Image:
        for thing in things:
            self._draw(canvas, thing, style)
        return canvas

    def _draw(self, canvas: Image.Image, thing: Thing, style: str) -> None:
        small = thing.size * unit(canvas.size) <= SMALL
        picture = drawing(thing.name, style, thing.color, thing.angle, thing.mirrored, small)
        left, top, right, bottom = (round(edge * unit(canvas.size)) for edge in thing.box)
        fitted = picture.resize((max(right - left, 1), max(bottom - top, 1)), Image.Resampling.BICUBIC)
        canvas.paste(fitted, (left, top), fitted)

    def held_out(self, group: Group) -> bool:
        """One colour of every class; one number of every third class."""
        number = index(group.name)
        color = list(COLORS)[(3 * number + 1) % len(COLORS)]
        return group.color == color or (number % 3 == 0 and group.count == 2 + number // 3 % 3)

    def held_out_pair(self, one: str, other: str) -> bool:
        return (index(one) + index(other)) % HELD_OUT_STEP == 0


@cache
def listing() -> dict[str, Any]:
    """What the sheets hold."""
    return json.loads((DRAWINGS / "objects.json").read_text())


@cache
def classes() -> tuple[str, ...]:
    """Names of the things, in the sheets' order."""
    return tuple(listing()["classes"])


def index(name: str) -> int:
    """The place of a thing in the sheets."""
    return classes().index(name)


@cache
def sheet(style: str) -> Image.Image:
    """All drawings of a style, RGBA."""
    return Image.open(DRAWINGS / f"{'noto' if style == 'cartoon' else style}.png").convert("RGBA")


@cache
def upright(name: str, style: str, small: bool = False) -> Image.Image:
    """The drawing as it is, RGBA, cut to what is opaque; ``small``: at half the sheet's size."""
    cell, columns = listing()["cell"], listing()["columns"]
    row, column = divmod(index(name), columns)
    picture = sheet(style).crop((column * cell, row * cell, (column + 1) * cell, (row + 1) * cell))
    picture = picture.crop(opaque_box(picture))
    return picture.reduce(2) if small else picture


def opaque_box(picture: Image.Image) -> tuple[int, int, int, int]:
    """The box of what is opaque. Raises ``ValueError`` where nothing is."""
    box = picture.getchannel("A").point(lambda level: 255 * (level > OPAQUE)).getbbox()
    if box is None:
        raise ValueError("an empty drawing")
    return box


@lru_cache(maxsize=16384)
def drawing(name: str, style: str, color: str | None, angle: int, mirrored: bool, small: bool = False) -> Image.Image:
    """The drawing, tinted, mirrored and turned, RGBA, cut to what is opaque."""
    picture = painted(name, style, color, small)
    if mirrored:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if angle:
        picture = picture.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    return picture.crop(opaque_box(picture))


@cache
def painted(name: str, style: str, color: str | None, small: bool) -> Image.Image:
    """The drawing upright, in its own colours or tinted."""
    picture = upright(name, style, small)
    return picture if color is None else tinted(picture, color)


@cache
def extent(name: str, style: str, angle: int, mirrored: bool) -> Box:
    """The box of such a drawing about its centre, over the longer side upright."""
    width, height = (side / max(upright(name, style).size) for side in drawing(name, style, None, angle, mirrored).size)
    return -width / 2, -height / 2, width / 2, height / 2


def tinted(picture: Image.Image, color: str) -> Image.Image:
    """The drawing in one colour: what was lighter or darker than its middle stays so."""
    pixels = np.asarray(picture, np.float32)
    luma = pixels[..., :3] @ LUMA / 255
    opacity = pixels[..., 3]
    offset = (luma - np.average(luma, weights=opacity))[..., None]
    paint = np.array(COLORS[color], np.float32)
    lighter = LIGHTER.get(color, CONTRAST) * offset.clip(min=0) * (255 - paint)
    darker = DARKER.get(color, CONTRAST) * offset.clip(max=0) * paint
    pixels = np.concatenate([paint + lighter + darker, opacity[..., None]], -1)
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8), "RGBA")
