"""Features of every kind of holder through every score that takes them, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eval.features.arrays import real_array
from eval.features.frechet import GaussianStats, frechet_distance
from eval.features.kid import kid, kid_of_subsets
from eval.features.precision_recall import precision_recall


def distance(a, b) -> float:
    return frechet_distance(GaussianStats.of(a), GaussianStats.of(b))


SCORES = (distance, kid, lambda a, b: kid_of_subsets(a, b, subsets=4), precision_recall)
A, B = (
    torch.randint(-8, 9, (n, 3), generator=torch.Generator().manual_seed(n)).float() / 4 for n in (20, 24)
)  # which bfloat16 holds exactly


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_tensors_score_as_arrays_do(dtype):
    for score in SCORES:
        wanted = pytest.approx(score(A.numpy(), B.numpy()), rel=1e-6)
        assert score(A.to(dtype), B.to(dtype)) == wanted
        assert score(A.to(dtype).clone().requires_grad_(), B.to(dtype)) == wanted


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (A.to(torch.complex64), "real numbers, not complex64"),
        (A.numpy().astype(np.complex128), "real numbers, not complex128"),
        (A.numpy().astype(str), "real numbers, not <U"),
        (A.numpy().astype(object), "real numbers, not object"),
        ([["a", "b", "c"]] * 20, "real numbers, not <U1"),
        ([[None] * 3] * 20, "real numbers, not object"),
        ([[1.0, 2.0], [3.0]], "table of numbers: "),
        (torch.eye(3).to_sparse(), "table of numbers: "),
        ([torch.zeros(3, requires_grad=True)] * 4, "table of numbers: "),
        (A * np.nan, "finite"),
        (A[:, 0], r"got \(20,\)"),
        (A[:, :2], "different widths: 2 and 3"),
        (A[:1], r"not 1$|got \(1, 3\)"),
    ],
)
def test_what_is_no_table_of_real_numbers_is_refused_in_one_line(features, message):
    for score in SCORES:
        with pytest.raises(ValueError, match=message) as caught:
            score(features, B)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kid_of_subsets(A, B, 0, 10), "0 of 10"),
        (lambda: precision_recall(A[:3], B), r"more than 3, D\), got \(3, 3\)"),
        (lambda: precision_recall(A, B, 0), "at least 1"),
    ],
)
def test_impossible_numbers_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_array_is_not_copied():
    array = np.ones((4, 2), np.float32)
    assert real_array(array) is array
    assert np.shares_memory(real_array(torch.from_numpy(array)), array)
