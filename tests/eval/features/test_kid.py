"""The kernel distance against its definition and clean-fid's."""

from __future__ import annotations

import numpy as np
import pytest
from cleanfid.fid import kernel_distance

from eval.features import kid as module
from eval.features.kid import kid, kid_of_subsets


def sets(n: int = 37, m: int = 53, dim: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, dim)), 0.3 + rng.normal(size=(m, dim)) @ rng.normal(size=(dim, dim))


def naive(a: np.ndarray, b: np.ndarray) -> float:
    """Eq. 4, term by term."""

    def kernel(x, y):
        return (x @ y / len(x) + 1) ** 3

    n, m = len(a), len(b)
    within_a = sum(kernel(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_b = sum(kernel(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_a + within_b - 2 * sum(kernel(x, y) for x in a for y in b) / (n * m)


def test_equals_the_definition():
    a, b = sets()
    assert kid(a, b) == pytest.approx(naive(a, b), rel=1e-8)
    assert kid(a, b) == pytest.approx(kid(b, a), rel=1e-8)


@pytest.mark.parametrize("block", [1, 7, 37])
def test_blocks_do_not_matter(block, monkeypatch):
    a, b = sets()
    whole = kid(a, b)
    monkeypatch.setattr(module, "BLOCK", block)
    assert kid(a, b) == pytest.approx(whole, rel=1e-8)


@pytest.mark.parametrize(("subsets", "size"), [(5, 20), (3, 1000)])
def test_subsets_are_clean_fids(subsets, size):
    a, b = sets()
    np.random.seed(7)
    theirs = kernel_distance(a, b, num_subsets=subsets, max_subset_size=size)
    assert kid_of_subsets(a, b, subsets, size, seed=7).value == pytest.approx(theirs, rel=1e-8)


def test_default_protocol_is_clean_fids():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(1010, 4)).astype(np.float32), rng.normal(size=(1020, 4)).astype(np.float32)
    np.random.seed(0)
    theirs = kernel_distance(a.astype(np.float64), b.astype(np.float64), num_subsets=2)
    assert kid_of_subsets(a, b, subsets=2).value == pytest.approx(theirs, rel=1e-8)
    assert (module.SUBSETS, module.SUBSET_SIZE) == (100, 1000)


def test_is_unbiased():
    """Two samples of one distribution: the mean over draws is 0, and single draws are negative."""
    rng = np.random.default_rng(2)
    draws = [kid(rng.normal(size=(20, 3)), rng.normal(size=(20, 3))) for _ in range(400)]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / 20
    assert min(draws) < 0


def test_the_seed_fixes_the_subsets_and_leaves_numpys_alone():
    a, b = sets()
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    first = kid_of_subsets(a, b, 4, 10, seed=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    assert kid_of_subsets(a, b, 4, 10, seed=1) == first
    assert kid_of_subsets(a, b, 4, 10, seed=2) != first
