"""Features of every kind of holder through every score that takes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.features.arrays import real_array
from eval.features.frechet import GaussianStats, frechet_distance
from eval.features.kid import kid, kid_of_subsets
from eval.features.precision_recall import density_coverage, precision_recall


def distance(a, b) -> float:
    return frechet_distance(GaussianStats.of(a), GaussianStats.of(b))


def updated(a, b) -> float:
    """The distance from statistics that grow batch by batch."""
    stats = GaussianStats(np.shape(a)[1])
    stats.update(a)
    return frechet_distance(stats, GaussianStats.of(b))


SCORES = (distance, updated, kid, kid_of_subsets, precision_recall, density_coverage)


def features() -> tuple[torch.Tensor, torch.Tensor]:
    """Two sets (20, 3) and (24, 3) that bfloat16 holds exactly."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randint(-8, 9, (n, 3), generator=generator).float() / 4 for n in (20, 24))


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_tensors_score_as_arrays_do(score, dtype):
    a, b = features()
    wanted = score(a.numpy(), b.numpy())
    assert score(a.to(dtype), b.to(dtype)) == pytest.approx(wanted, rel=1e-6)
    assert score(a.to(dtype).requires_grad_(), b.to(dtype)) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.to(torch.complex64), "real numbers, not complex64"),
        (lambda a: a.numpy().astype(np.complex128), "real numbers, not complex128"),
        (lambda a: a.numpy().astype(str), "real numbers, not <U"),
        (lambda a: a.numpy().astype(object), "real numbers, not object"),
        (lambda a: [["a", "b", "c"]] * 20, "real numbers, not <U1"),
        (lambda a: [[None] * 3] * 20, "real numbers, not object"),
    ],
)
def test_what_is_no_real_number_is_refused(score, change, message):
    a, b = features()
    with pytest.raises(ValueError, match=message):
        score(change(a), b)


@pytest.mark.parametrize(
    "given", [[[1.0, 2.0], [3.0]], torch.eye(3).to_sparse(), [torch.zeros(3, requires_grad=True)] * 4]
)
def test_what_is_no_table_is_refused_in_one_line(given):
    with pytest.raises(ValueError, match="table of numbers: ") as caught:
        real_array(given)
    assert "\n" not in str(caught.value)


def test_stored_moments_may_be_tensors_and_not_complex():
    a, b = features()
    stats = GaussianStats.of(a)
    mean, cov = torch.from_numpy(stats.mean), torch.from_numpy(stats.cov)
    stored = GaussianStats.from_moments(stats.n, mean.requires_grad_(), cov)
    assert frechet_distance(stored, GaussianStats.of(b)) == pytest.approx(distance(a, b))
    with pytest.raises(ValueError, match="real numbers, not complex128"):
        GaussianStats.from_moments(stats.n, mean.to(torch.complex128), cov)


def test_an_array_is_not_copied():
    array = np.ones((4, 2), np.float32)
    assert real_array(array) is array
    assert np.shares_memory(real_array(torch.from_numpy(array)), array)
