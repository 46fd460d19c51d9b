"""Whole samples into rows of bounded length: first fit, longest first. No sample is ever cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Placement(NamedTuple):
    """Where a sample goes: its row and its first position in it."""

    row: int
    start: int


def pack(lengths: Sequence[int], capacity: int) -> list[Placement]:
    """A placement for every sample, in the order of ``lengths``.

    Raises ``ValueError`` for a sample longer than ``capacity``.
    """
    filled: list[int] = []
    placements = [Placement(0, 0)] * len(lengths)
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        length = lengths[index]
        if length > capacity:
            raise ValueError(f"a sample has {length} tokens, more than the {capacity} of a row")
        row = next((r for r, used in enumerate(filled) if used + length <= capacity), len(filled))
        if row == len(filled):
            filled.append(0)
        placements[index] = Placement(row, filled[row])
        filled[row] += length
    return placements
