"""Which sample comes when: everything here is a pure function, so that resuming needs no state but the step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

BLOCK = 1000  # weighted draws between sources are exact over this many


def share(count: int, part: int, parts: int) -> range:
    """The numbers out of 0 … count - 1 that fall to ``part``: all parts together hold each once."""
    return range(part, count, parts)


class Shuffle:
    """A permutation of 0 … n - 1 for each epoch without a table: a Feistel network, walked until it stays below n."""

    ROUNDS = 4

    def __init__(self, size: int, seed: Sequence[int]) -> None:
        self.size = size
        self.bits = max(1, (max(size - 1, 1).bit_length() + 1) // 2)  # of each half
        self.seed = tuple(seed)

    def __getitem__(self, index: int) -> int:
        """Item ``index`` of the endless sequence of epochs."""
        epoch, place = divmod(index, self.size)
        keys = _round_keys((*self.seed, epoch), self.ROUNDS)
        while True:
            place = self._encrypt(place, keys)
            if place < self.size:
                return place

    def _encrypt(self, value: int, keys: Sequence[int]) -> int:
        mask = (1 << self.bits) - 1
        left, right = value >> self.bits, value & mask
        for key in keys:
            left, right = right, left ^ (_mix(right ^ key) & mask)
        return left << self.bits | right


class Weighted:
    """Which source serves an index, and the how-manieth of it: exact shares over blocks, in shuffled order."""

    def __init__(self, weights: Sequence[float], seed: Sequence[int]) -> None:
        if not weights or min(weights) < 0 or sum(weights) <= 0:
            raise ValueError(f"weights of sources must be 0 or more and not all 0, got {list(weights)}")
        self.seed = tuple(seed)
        exact = np.array(weights, dtype=float) / sum(weights) * BLOCK
        counts = np.floor(exact).astype(int)
        counts[np.argsort(exact - counts, kind="stable")[::-1][: BLOCK - counts.sum()]] += 1
        if any(weight and not count for weight, count in zip(weights, counts, strict=True)):
            raise ValueError(f"a source's weight is below a thousandth of all: {list(weights)}")
        self.counts = counts

    def __getitem__(self, index: int) -> tuple[int, int]:
        """(number of the source, index within that source)."""
        block, place = divmod(index, BLOCK)
        order = _block_order(tuple(self.counts), (*self.seed, block))
        source = int(order[place])
        return source, int(block * self.counts[source] + np.count_nonzero(order[:place] == source))


@lru_cache(maxsize=64)
def _block_order(counts: tuple[int, ...], seed: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


@lru_cache(maxsize=64)
def _round_keys(seed: tuple[int, ...], rounds: int) -> tuple[int, ...]:
    return tuple(int(key) for key in np.random.SeedSequence(seed).generate_state(rounds))


def _mix(value: int) -> int:
    """Spread the bits of a number below 2**32 (the finalizer of MurmurHash3)."""
    value = (value ^ value >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    value = (value ^ value >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return value ^ value >> 16
