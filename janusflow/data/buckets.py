"""Shapes of generated images: each image takes the one of the nearest aspect ratio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from janusflow.models.shapes import Grid, Size, grid_for
from janusflow.models.spans import span_offsets
from janusflow.models.unified import ModelConfig

Position = int | tuple[float, float]  # of a token: along the text, or its row and column


class Bucket(NamedTuple):
    """A shape of images, and the positions of their spans' tokens behind the first."""

    size: Size
    grid: Grid
    offsets: list[Position]

    def positions(self, begin: int) -> list[Position]:
        """The positions of a span that begins at ``begin``."""
        return [
            begin + offset if isinstance(offset, int) else (begin + offset[0], begin + offset[1])
            for offset in self.offsets
        ]


def square(side: int, tokens: int) -> Bucket:
    """Squares of ``side`` pixels and so many tokens, in raster order."""
    return Bucket((side, side), Grid(1, tokens), [*range(1 + tokens)])


def buckets_of(sizes: Sequence[Sequence[int]], model: ModelConfig) -> list[Bucket]:
    """The shapes of ``sizes`` (height, width; none: the model's square) as ``model`` draws them.

    Raises ``ValueError`` for a size that it cannot draw.
    """
    side, found = model.vision.image_size, []
    for height, width in sizes or [(side, side)]:
        grid = grid_for(model, (height, width))
        offsets = span_offsets(model.llm.image_positions, grid, model.head.grid).tolist()
        places: list[Position] = [one if isinstance(one, int) else (one[0], one[1]) for one in offsets]
        found.append(Bucket((height, width), grid, places))
    return found


def nearest(sizes: Sequence[Sequence[int]], width: int, height: int) -> int:
    """Which of ``sizes`` (height, width) has the aspect ratio nearest to an image's, by the ratio's logarithm."""
    ratio = math.log(height / width)
    return min(range(len(sizes)), key=lambda number: abs(math.log(sizes[number][0] / sizes[number][1]) - ratio))
