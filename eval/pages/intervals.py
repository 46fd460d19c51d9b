"""How far a score may be from that of other prompts and pictures: 95 % intervals by the jackknife, whatever the score.

Items that belong together stay together: all pictures of one prompt, all questions about one picture. Such clusters
are dealt into groups at random, and the task scores what is left without each group (the delete-a-group jackknife).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from tqdm import tqdm

from eval.compare.bootstrap import jackknife
from eval.task import Drawing, Judged, Question, Task, Work

GROUPS = 30
FEWEST = 10  # clusters of which an interval says something
SEED = 0


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
    order = np.random.default_rng(SEED).permutation(len(clusters))
    group = {clusters[place]: rank % GROUPS for rank, place in enumerate(order)}
    return {name: group[own] for name, own in cluster_of.items()}


def cluster(item: Drawing | Question) -> object:
    """What an item shares with those that belong to it: its prompt, or its pictures."""
    if isinstance(item, Drawing):
        return item.prompt or item.id  # pictures from anywhere may have no prompt
    return item.images or item.id
