"""Quality against compute: a grid of settings, and which of them no other setting beats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from eval.compare.bootstrap import group_means, percentiles, resampled_means
from eval.compare.config import CompareConfig, short_name
from eval.compare.cost import count_work
from eval.compare.judging import judge_pictures
from eval.compare.summary import entry
from eval.shapes.benchmark import BENCHMARK_SEED
from eval.shapes.prompts import benchmark_prompts
from janusflow.checkpoints.pretrained import Bundle
from janusflow.options import SamplingOptions

COSTS = ("flops", "seconds")
QUALITIES = {"overall": True, "frechet": False}  # whether more is better


def cost_prompts() -> list[str]:
    """The prompts whose pictures' operations are counted: the first of every tag."""
    return [prompt["prompt"] for prompt in benchmark_prompts(1, "train", BENCHMARK_SEED)]


def measure_point(bundle: Bundle, options: SamplingOptions, config: CompareConfig) -> dict[str, Any]:
    """Scores in distribution and cost of a picture at one setting."""
    judged, _ = judge_pictures(
        bundle, options, "train", config.sweep_prompts_per_tag, config.sweep_images_per_prompt, config
    )
    return {**judged, **count_work(bundle, cost_prompts(), options)}


def point_summary(options: SamplingOptions, seeds: Sequence[dict[str, Any]], resamples: int) -> dict[str, Any]:
    """One setting's scores, averaged over training seeds; ``seeds`` are what :func:`measure_point` gave."""
    tags = seeds[0]["tags"]
    correct = np.mean([np.mean(one["correct"], axis=1) for one in seeds], axis=0)  # (P,)
    means = group_means(correct, tags)
    overall = entry(percentiles(means[-1], resampled_means(correct[None], tags, resamples)[:, 0, -1]))
    return {
        "setting": options.describe(),
        "short": short_name(options),
        "overall": overall["value"],
        "low": overall["low"],
        "high": overall["high"],
        **{
            name: float(np.mean([one[name] for one in seeds]))
            for name in ("frechet", "seconds", "flops", "flops_codec", "llm_rows", "llm_positions")
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
