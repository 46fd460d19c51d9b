"""The positions of a drawn image's span for the rotary embedding.

Legend: N tokens of an image.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from janusflow.models.shapes import Grid

# How an image's tokens are placed: one after the other, as text (raster); by row and column, a step a token (grid; the
# idea is that of M-RoPE, Qwen2-VL, arXiv:2409.12191); or so that the longer side of an image, however many tokens it
# has, covers as much as the square that the head's configuration names (fitted).
ImagePositions = Literal["raster", "grid", "fitted"]


def span_offsets(kind: ImagePositions, grid: Grid, extent: int) -> Tensor:
    """Where a span's positions are behind its first: (1 + N,) integers of a raster, else (1 + N, 2) rows and columns.

    The begin position is at 0 in both directions, and the tokens stand one further and more. A span so takes no more
    of the positions than N + 1, however it is placed. extent: tokens along a side of the square (``fitted``).
    """
    if kind == "raster":
        return torch.arange(1 + grid.tokens)
    step = extent / max(grid) if kind == "fitted" else 1.0
    rows, columns = (0.5 + (torch.arange(count) + 0.5) * step for count in grid)
    places = torch.cartesian_prod(rows, columns)
    return torch.cat([torch.zeros(1, 2), places])


def placed(begins: Tensor, offsets: Tensor) -> Tensor:
    """Positions (R, n) or (R, n, 2) of spans that begin at ``begins`` (R,), from their ``offsets`` (n,) or (n, 2)."""
    return begins.view(-1, *[1] * offsets.dim()) + offsets
