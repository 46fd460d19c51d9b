"""How far a score may be from that of other prompts and pictures: 95 % intervals.

The percentile bootstrap over prompts, the jackknife where resampling is biased, and for any task's scores the
delete-a-group jackknife: items that belong together (all pictures of one prompt, all questions about one picture) are
dealt into groups at random, and the task scores what is left without each group.

Legend: M models, P prompts, N resamples, T tags (or other groups of prompts).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from eval.task import Drawing, Judged, Question, Task, Work

Array = NDArray[np.float64]

LEVEL = 0.95
NORMAL = 1.959964  # half the width of the level's interval, in standard errors of a normal distribution
SEED = 95_000
GROUPS = 30
FEWEST = 10  # clusters of which an interval says something
GROUPS_SEED = 0


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


def reaches(task: Task, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str]) -> dict[str, float]:
    """Half the width of the 95 % interval of every score that has one, by its name.

    None of few items, and none of a score that no group changes, such as an accuracy of 1.
    """
    group_of = groups(work)
    if not group_of or not (scores := task.resample(work, judged, answers)):
        return {}
    without = []
    for group in tqdm(sorted(set(group_of.values())), "intervals", unit="group", leave=False, disable=None):
        kept = {name for name, own in group_of.items() if own != group}
        part = dataclasses.replace(
            work,
            drawings=[one for one in work.drawings if one.id in kept],
            questions=[one for one in work.questions if one.id in kept],
        )
        verdicts = {name: one for name, one in judged.items() if name in kept}
        without.append(task.resample(part, verdicts, {name: one for name, one in answers.items() if name in kept}))
    found = {}
    for name, value in scores.items():
        values = [float(one[name] or 0) for one in without if one.get(name) is not None]
        if value is not None and len(values) == len(without):
            reach = jackknife(value, np.array(values), [""] * len(values)).high - value
            if reach > 0:
                found[name] = reach
    return found


def groups(work: Work) -> dict[str, int]:
    """The group of every item, by its id; empty where there are few clusters."""
    items: list[Drawing | Question] = [*work.drawings, *work.questions]
    cluster_of = {one.id: cluster(one) for one in items}
    clusters = list(dict.fromkeys(cluster_of.values()))
    if len(clusters) < FEWEST:
        return {}
    order = np.random.default_rng(GROUPS_SEED).permutation(len(clusters))
    group = {clusters[place]: rank % GROUPS for rank, place in enumerate(order)}
    return {name: group[own] for name, own in cluster_of.items()}


def cluster(item: Drawing | Question) -> object:
    """What an item shares with those that belong to it: its prompt, or its pictures."""
    if isinstance(item, Drawing):
        return item.prompt or item.id  # pictures from anywhere may have no prompt
    return item.images or item.id
