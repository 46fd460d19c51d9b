"""Intervals of scores over prompts: the percentile bootstrap, and the jackknife where resampling is biased.

Legend: M models, P prompts, N resamples, T tags (or other groups of prompts).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEVEL = 0.95
NORMAL = 1.959964  # half the width of the level's interval, in standard errors of a normal distribution
SEED = 95_000


class Interval(NamedTuple):
    """A value and the ends of its 95 % interval, NaN where there is none."""

    value: float
    low: float
    high: float


def group_means(values: Array, groups: Sequence[str]) -> Array:
    """Means (…, T + 1) of values (…, P): of each group in order of first appearance, then the mean of these."""
    labels = np.asarray(groups)
    means = [values[..., labels == name].mean(-1) for name in dict.fromkeys(groups)]
    return np.stack([*means, np.mean(means, axis=0)], axis=-1)


def resampled_means(values: Array, groups: Sequence[str], resamples: int, seed: int = SEED) -> Array:
    """:func:`group_means` of resampled prompts, (N, M, T + 1), from values (M, P).

    Prompts are drawn with replacement within their group, and every model gets the same ones, so that differences
    between models are paired. A prompt's value is the mean over all of its images. A group of one prompt says nothing
    about others: its means and those over all groups are NaN.
    """
    rng = np.random.default_rng(seed)
    labels = np.asarray(groups)
    means = []
    for name in dict.fromkeys(groups):
        members = values[:, labels == name]
        if members.shape[1] == 1:
            means.append(np.full((resamples, len(values)), np.nan))
            continue
        chosen = rng.integers(members.shape[1], size=(resamples, members.shape[1]))
        means.append(np.stack([of_model[chosen].mean(-1) for of_model in members], axis=1))  # (N, M)
    return np.stack([*means, np.mean(means, axis=0)], axis=-1)


def percentiles(value: float, samples: Array) -> Interval:
    """The 95 % percentile interval around ``value`` from its resamples (N,)."""
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(value), float(low), float(high))


def jackknife(value: float, without: Array, groups: Sequence[str]) -> Interval:
    """The 95 % interval of a statistic from its values (P,) with one prompt left out each, stratified by group.

    For a Fréchet distance: it grows as pictures repeat, so all its bootstrap resamples lie above it. No interval where
    a group has one prompt.
    """
    labels = np.asarray(groups)
    variance = 0.0
    for name in dict.fromkeys(groups):
        members = without[labels == name]
        if len(members) == 1:
            return Interval(float(value), np.nan, np.nan)
        variance += (len(members) - 1) / len(members) * float(((members - members.mean()) ** 2).sum())
    reach = NORMAL * variance**0.5
    return Interval(float(value), float(value) - reach, float(value) + reach)
