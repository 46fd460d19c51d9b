"""A cast: what the things of a world are called, how they look, and what training never shows of them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Literal

from PIL import Image

from janusflow.registry import Registry
from janusflow.worlds.vocabulary import RGB

if TYPE_CHECKING:
    from janusflow.worlds.scenes import Group, Thing

Box = tuple[float, float, float, float]  # x0, y0, x1, y1
Frame = tuple[float, float]  # a picture's width and height over its unit: the side of the square of the same area
SQUARE: Frame = (1.0, 1.0)

CASTS: Registry[type[Cast]] = Registry(
    "cast",
    "janusflow.casts",
    {"shapes": "janusflow.worlds.shapes:Shapes", "objects": "janusflow.worlds.objects:Objects"},
)


class Cast(ABC):
    """The things of a world. Their extents are fractions of a thing's size, which is its longer side upright."""

    noun: str  # what all of them are, in questions
    image_size: int  # pixels, the side of a picture at the size that the shipped models use
    names: tuple[str, ...]
    synonyms: Mapping[str, tuple[str, ...]] = {}  # other names in captions
    styles: tuple[str, ...] = ()  # ways of drawing, one in each scene; none: there is but one
    angles: tuple[int, ...] = (0,)  # degrees, counter-clockwise, that a thing may be turned by
    mirrors: bool = False  # whether a thing may be mirrored
    paint: Literal["always", "sometimes"]  # "sometimes": things have colours of their own, too
    sizes: Mapping[int, tuple[float, float]]  # number of things in a free scene -> their sizes, over the picture's side

    @abstractmethod
    def extent(self, name: str, style: str, angle: int, mirrored: bool) -> Box:
        """The box of such a thing of size 1 about its centre."""

    @abstractmethod
    def draw(self, canvas: Image.Image, things: tuple[Thing, ...], style: str) -> Image.Image:
        """The background ``canvas``, RGB, with the things on it, whose lengths are in its :func:`unit`."""

    @abstractmethod
    def held_out(self, group: Group) -> bool:
        """Whether training must never show this group."""

    def held_out_pair(self, one: str, other: str) -> bool:
        """Whether training must never show these two together."""
        return False

    def shade(self, color: str) -> RGB | None:
        """The exact paint of a colour, where a scene moves it a little; else None."""
        return None


def unit(size: tuple[int, int]) -> float:
    """The pixels that lengths of a scene are fractions of: a square's side, else the root of the area."""
    one, other = size
    return one if one == other else math.sqrt(one * other)


@cache
def cast_of(name: str) -> Cast:
    """The cast of that name. Raises ``ValueError`` where there is none."""
    return CASTS.load(name)()
