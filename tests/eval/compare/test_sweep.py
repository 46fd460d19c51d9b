"""Pareto fronts and the mean over training seeds."""

import pytest

from eval.compare.sweep import mark_fronts, pareto_front, point_summary
from janusflow.models.flow_head import FlowSampling


def test_front_is_what_nothing_cheaper_or_equal_beats():
    costs, qualities = [1, 2, 2, 3, 4, 5], [0.2, 0.5, 0.4, 0.5, 0.9, 0.1]
    assert pareto_front(costs, qualities, more_is_better=True) == [0, 1, 4]
    assert pareto_front(costs, qualities, more_is_better=False) == [0, 5]
    assert pareto_front([3, 1, 2], [1, 1, 1], more_is_better=True) == [1], "ties go to the cheapest"


def test_points_are_marked_in_every_plane():
    cheap = {"flops": 1, "seconds": 9, "overall": 0.1, "frechet": 0.1}
    quick = {"flops": 2, "seconds": 1, "overall": 0.2, "frechet": 0.3}
    mark_fronts(points := [cheap, quick])
    assert points[0]["fronts"] == [["overall", "flops"], ["frechet", "flops"], ["frechet", "seconds"]]
    assert points[1]["fronts"] == [["overall", "flops"], ["overall", "seconds"], ["frechet", "seconds"]]


def test_training_seeds_are_averaged():
    def seed(correct, frechet):
        cost = {"flops": 10, "flops_codec": 1, "llm_rows": 4, "llm_positions": 8, "seconds": frechet, "timed_batch": 2}
        return {"tags": ["colors", "position"], "correct": correct, "similarity": [[1, 3]], "frechet": frechet, **cost}

    seeds = [seed([[True, True], [False, False]], 1.0), seed([[True, False], [False, True]], 2.0)]
    point = point_summary(FlowSampling(8, 2.0), seeds, resamples=10)
    assert point["overall"] == pytest.approx((0.75 + 0.25) / 2)
    assert (point["short"], point["frechet"], point["seconds"], point["similarity"]) == ("8w2", 1.5, 1.5, 2.0)
    assert point["timed_batch"] == 2
    assert point["low"] is point["high"] is None, "one prompt of each tag"
