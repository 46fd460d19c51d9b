"""From values by prompt to scores with intervals, differences between models, and quality against compute.

Legend: M models, P prompts, S training seeds of a model.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from eval.intervals import Array, Interval, group_means, jackknife, percentiles, resampled_means
from eval.worlds.task import DIVERSITY, FEATURE_SCORES
from janusflow.options import SamplingOptions

Results = Mapping[str, Sequence[dict[str, Any]]]  # of a split: model -> training seeds -> values by prompt
GENEVAL = "GenEval rules"
MEAN = "mean of the tags"
COVERAGE = ("recall", "recall_floor", "nearest", "nearest_floor")
COSTS = ("flops", "seconds")
QUALITIES = {"overall": True, "frechet": False, "diversity": True}  # whether more is better
ALL_PAIRS = 3  # with more models, differences are to the first only


def pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs (a, b) whose difference b - a is reported."""
    return list(combinations(names, 2)) if len(names) <= ALL_PAIRS else [(names[0], name) for name in names[1:]]


def summarize_split(results: Results, resamples: int) -> list[dict[str, Any]]:
    """The rows of a split's table: label, each model's score, each pair's difference."""
    first = next(iter(results.values()))[0]
    rows: list[dict[str, Any]] = []
    if "correct" in first:
        rows += mean_rows(results, "correct", first["tags"], resamples, GENEVAL, MEAN)
        rows.append(frechet_row(results, first["tags"]))
        floor = {name: {"value": seeds[0]["frechet_floor"], "sd": None} for name, seeds in results.items()}
        rows.append({"label": FEATURE_SCORES["frechet_siglip_floor"], "models": floor, "differences": {}})
        labels = {"diversity": DIVERSITY, **{name: FEATURE_SCORES[name] for name in COVERAGE}}
        rows += [value_row(results, name, label) for name, label in labels.items()]
        (similarity,) = mean_rows(results, "similarity", first["tags"], resamples, "", "")[:1]
        rows.append({**similarity, "label": FEATURE_SCORES["similarity"]})
    if "right" in first:
        rows += mean_rows(results, "right", first["kinds"], resamples, "answers", "all")
    return rows


def value_row(results: Results, key: str, label: str) -> dict[str, Any]:
    """A score of all of a model's pictures, which has no interval."""
    models = {}
    for name, seeds in results.items():
        values = [one[key] for one in seeds if one[key] is not None]
        spread = statistics.stdev(values) if len(values) > 1 else None
        models[name] = {"value": statistics.fmean(values) if values else None, "sd": spread}
    return {"label": label, "models": models, "differences": {}}


def mean_rows(
    results: Results, key: str, groups: Sequence[str], resamples: int, label: str, overall: str
) -> list[dict[str, Any]]:
    """Rows of a score that is a mean over prompts: over all groups first, then of each."""
    names = list(results)
    of_seeds = {name: np.array([np.mean(one[key], axis=1) for one in results[name]]) for name in names}  # (S, P)
    values = np.array([of_seeds[name].mean(0) for name in names])  # (M, P)
    means, samples = group_means(values, groups), resampled_means(values, groups, resamples)
    columns = list(dict.fromkeys(groups))
    rows = []
    for column in (len(columns), *range(len(columns))):
        models = {
            name: entry(
                percentiles(means[m, column], samples[:, m, column]),
                group_means(of_seeds[name], groups)[:, column].tolist(),
            )
            for m, name in enumerate(names)
        }
        differences = {}
        for a, b in pairs(names):
            m, n = names.index(a), names.index(b)
            gap = percentiles(means[n, column] - means[m, column], samples[:, n, column] - samples[:, m, column])
            differences[f"{b} − {a}"] = entry(gap)
        name = overall if column == len(columns) else columns[column]
        rows.append({"label": f"{label}: {name}", "models": models, "differences": differences})
    return rows


def frechet_row(results: Results, groups: Sequence[str]) -> dict[str, Any]:
    """The Fréchet distances, with the jackknife's intervals."""
    values = {name: [one["frechet"] for one in seeds] for name, seeds in results.items()}
    without: dict[str, Array] = {
        name: np.mean([one["frechet_without"] for one in seeds], axis=0) for name, seeds in results.items()
    }
    means = {name: statistics.fmean(seeds) for name, seeds in values.items()}
    return {
        "label": FEATURE_SCORES["frechet_siglip"],
        "models": {name: entry(jackknife(means[name], without[name], groups), values[name]) for name in results},
        "differences": {
            f"{b} − {a}": entry(jackknife(means[b] - means[a], without[b] - without[a], groups))
            for a, b in pairs(list(results))
        },
    }


def entry(interval: Interval, seeds: Sequence[float] = ()) -> dict[str, Any]:
    """A cell: value, interval (None: there is none) and, of several training seeds, the sample standard deviation."""
    low, high = (None if np.isnan(end) else end for end in (interval.low, interval.high))
    spread = statistics.stdev(seeds) if len(seeds) > 1 else None
    return {"value": interval.value, "low": low, "high": high, "sd": spread, "seeds": list(seeds)}


def point_summary(options: SamplingOptions, seeds: Sequence[dict[str, Any]], resamples: int) -> dict[str, Any]:
    """One setting's scores, averaged over training seeds; ``seeds`` are what :func:`measure_point` gave."""
    tags = seeds[0]["tags"]
    overall = mean_rows({"": seeds}, "correct", tags, resamples, GENEVAL, MEAN)[0]["models"][""]
    return {
        "setting": options.describe(),
        "short": options.short,
        "overall": overall["value"],
        "low": overall["low"],
        "high": overall["high"],
        **{
            name: float(np.mean([one[name] for one in seeds]))
            for name in ("frechet", "diversity", "seconds", "flops", "flops_codec", "llm_rows", "llm_positions")
        },
        "timed_batch": seeds[0]["timed_batch"],
        "similarity": float(np.mean([one["similarity"] for one in seeds])),
    }


def mark_fronts(points: list[dict[str, Any]]) -> None:
    """Note at every point the planes, (quality, cost), on whose front it is."""
    for point in points:
        point["fronts"] = []
    for quality, more in QUALITIES.items():
        for cost in COSTS:
            for index in pareto_front([p[cost] for p in points], [p[quality] for p in points], more):
                points[index]["fronts"].append([quality, cost])


def pareto_front(costs: Sequence[float], qualities: Sequence[float], more_is_better: bool) -> list[int]:
    """Indices of the points that are better than all that cost no more, cheapest first."""
    sign = 1 if more_is_better else -1
    best, front = -np.inf, []
    for index in sorted(range(len(costs)), key=lambda i: (costs[i], -sign * qualities[i])):
        if sign * qualities[index] > best:
            best = sign * qualities[index]
            front.append(index)
    return front
