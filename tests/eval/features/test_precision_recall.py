"""Precision and recall against their definition, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest

from eval.features import precision_recall as module
from eval.features.precision_recall import precision_recall, radii


def sets(n: int = 40, m: int = 50) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 4)), 0.7 + 1.5 * rng.normal(size=(m, 4))


def pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a[:, None] - b[None], axis=-1)


def radius(points: np.ndarray, k: int) -> np.ndarray:
    return np.sort(pairs(points, points), axis=1)[:, k]  # the first is the point itself


@pytest.mark.parametrize("k", [1, 3, 5])
def test_equals_the_definition(k):
    ours, real = sets()
    across = pairs(ours, real)
    precision = (across <= radius(real, k)).any(1).mean()
    recall = (across <= radius(ours, k)[:, None]).any(0).mean()
    assert precision_recall(ours, real, k) == (pytest.approx(precision), pytest.approx(recall))


def test_k_is_3():
    ours, real = sets()
    assert precision_recall(ours, real) == precision_recall(ours, real, 3)
    assert precision_recall(ours, real) != precision_recall(ours, real, 1)


@pytest.mark.parametrize("block", [1, 7, 40])
def test_blocks_do_not_matter(block, monkeypatch):
    ours, real = sets()
    whole = precision_recall(ours, real)
    monkeypatch.setattr(module, "BLOCK", block)
    assert precision_recall(ours, real) == whole


def test_precision_and_recall_are_not_swapped():
    rng = np.random.default_rng(1)
    real = np.concatenate([rng.normal(size=(30, 3)), 100 + rng.normal(size=(30, 3))])
    one_mode = rng.normal(size=(40, 3)) * 0.5
    found = precision_recall(one_mode, real)
    assert found.precision > 0.9 and found.recall <= 0.5


def test_copies_lie_on_each_other_however_far_from_zero():
    points = np.repeat(np.random.default_rng(2).normal(size=(300, 50)), 4, axis=0) + 1000
    assert not radii(points, 3).any()
    assert precision_recall(points[::7], points, 3).precision == 1


def test_far_apart_is_nothing():
    ours, real = sets()
    assert precision_recall(ours + 1000, real) == (0, 0)


@pytest.mark.parametrize("shift", [1e4, 1e6, 1e8])
def test_a_common_shift_does_not_matter(shift):
    ours, real = (np.round(one * 256) / 256 for one in sets())  # which stays exact far away
    assert precision_recall(ours + shift, real + shift) == precision_recall(ours, real)
