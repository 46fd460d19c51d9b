"""Sizes of drawn images in pixels, and the grids of tokens that a model draws them in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from janusflow.models.unified import ModelConfig

Size = tuple[int, int]  # pixels, height and width


class Grid(NamedTuple):
    """Tokens of an image, down and across."""

    rows: int
    columns: int

    @property
    def tokens(self) -> int:
        """N."""
        return self.rows * self.columns


def parse_size(text: str) -> Size:
    """``HEIGHTxWIDTH`` in pixels. Raises ``ValueError`` for anything else."""
    match = re.fullmatch(r"\s*(\d{1,6})\s*x\s*(\d{1,6})\s*", text, re.ASCII)
    if match is None:
        raise ValueError(f"a size is HEIGHTxWIDTH in pixels, such as 48x64, got {text[:20]!r}")
    return int(match[1]), int(match[2])


def size_text(size: Sequence[int]) -> str:
    """A size as it is written."""
    return "x".join(map(str, size))


def token_side(config: ModelConfig) -> int:
    """Pixels along a side of an image's token."""
    return config.vision.image_size // config.head.grid


def grid_for(config: ModelConfig, size: Size) -> Grid:
    """The tokens of a drawn image of ``size`` pixels.

    Raises ``ValueError`` for a size that the tokens do not divide, and for a head that draws its square alone.
    """
    side, token = config.vision.image_size, token_side(config)
    if size == (side, side):
        return Grid(config.head.grid, config.head.grid)
    head = config.head.head_class
    if not head.any_shape:
        raise ValueError(f"{head.family} draws {side}x{side} pixels alone, got the size {size_text(size)}")
    if min(size) < token or size[0] % token or size[1] % token:
        raise ValueError(f"the sides of a drawn image are multiples of {token} pixels, got the size {size_text(size)}")
    return Grid(size[0] // token, size[1] // token)
