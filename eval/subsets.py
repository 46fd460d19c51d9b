"""Some of a benchmark's items, fixed for good: as many as a limit says from all of its parts, or by a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")


def choose(items: Sequence[Item], count: int | None, seed: int) -> list[Item]:
    """``count`` of the items in their own order, or all: the same for good, and a smaller list lies in a larger one.

    Raises ``ValueError`` where there are fewer, and for an impossible seed.
    """
    if count is None:
        return list(items)
    if not 1 <= count <= len(items):
        raise ValueError(f"cannot choose {count} of {len(items)}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"the seed of a choice must lie in 0 .. 2**32 - 1, got {seed}")
    kept = np.random.RandomState(seed).permutation(len(items))[:count]  # this generator's draws never change
    return [items[index] for index in sorted(kept)]


def evenly(items: Sequence[Item], limit: int | None, place: Callable[[Item], tuple[str, str]]) -> list[Item]:
    """``limit`` of the items in their own order, as many from each group as from the others, or all items.

    place: an item's group, and the unit of it that is taken whole if the limit lets it, such as the questions about a
    picture, which stand together. The first units of every group are taken, so a smaller list lies in a larger one.
    """
    groups: dict[str, dict[str, int]] = {}  # group -> unit -> its number there
    ranks = []
    for group, unit in map(place, items):
        units = groups.setdefault(group, {})
        ranks.append(units.setdefault(unit, len(units)))
    kept = sorted(range(len(items)), key=ranks.__getitem__)[:limit]
    return [items[index] for index in sorted(kept)]


def list_hash(ids: Sequence[str]) -> str:
    """The first 12 hex digits of the SHA-256 of the ids, a line each: what a protocol says of a list."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:12]
