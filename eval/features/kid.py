"""Kernel inception distance: the unbiased squared maximum mean discrepancy under the kernel (x·y / D + 1)³.

Bińkowski et al. 2018 (arXiv:1801.01401), eq. 4. Unlike the Fréchet distance its expectation does not depend on the
number of pictures, so it can be negative. Legend: N, M rows, D width of the features; everything is float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from eval.features.arrays import two_sets

Array = NDArray[np.float64]
BLOCK = 1024  # rows of a kernel matrix that exist at a time
SUBSETS = 100
SUBSET_SIZE = 1000


class SubsetKID(NamedTuple):
    """The mean over random subsets and the standard deviation between them, which is not the mean's error."""

    value: float
    std: float


def kid(a: ArrayLike, b: ArrayLike) -> float:
    """The unbiased estimate from all of (N, D) and (M, D), in memory for ``BLOCK`` rows of a kernel matrix.

    Raises ``ValueError`` for different widths, fewer than two rows on a side, or values not real and finite.
    """
    a, b = two_sets(a, b, 1)
    n, m = len(a), len(b)
    within = _kernel_sum(a, a, same=True) / (n * (n - 1)) + _kernel_sum(b, b, same=True) / (m * (m - 1))
    return within - 2 * _kernel_sum(a, b) / (n * m)


def kid_of_subsets(
    a: ArrayLike, b: ArrayLike, subsets: int = SUBSETS, size: int = SUBSET_SIZE, seed: int = 0
) -> SubsetKID:
    """The usual protocol, clean-fid's: the mean of ``subsets`` estimates, from ``size`` rows of each side at most.

    The rows are those that clean-fid's ``kernel_distance(a, b)`` draws after ``numpy.random.seed(seed)``, which NumPy
    keeps the same for good. Raises ``ValueError`` as :func:`kid`, and for fewer than one subset or two rows.
    """
    a, b = two_sets(a, b, 1)
    if subsets < 1 or size < 2:
        raise ValueError(f"expected at least 1 subset of at least 2 rows, got {subsets} of {size}")
    size = min(len(a), len(b), size)
    rng = np.random.RandomState(seed)
    values = []
    for _ in tqdm(range(subsets), "KID", unit="subset", leave=False, disable=None):
        from_b = b[rng.choice(len(b), size, replace=False)]  # clean-fid's order
        from_a = a[rng.choice(len(a), size, replace=False)]
        values.append(kid(from_a, from_b))
    return SubsetKID(float(np.mean(values)), float(np.std(values)))


def _kernel_sum(a: Array, b: Array, same: bool = False) -> float:
    """The sum over all pairs of rows; without the pairs of a row with itself where ``a`` and ``b`` are the ``same``."""
    total = 0.0
    columns = b.astype(np.float64, copy=False)
    for start in range(0, len(a), BLOCK):
        rows = a[start : start + BLOCK].astype(np.float64, copy=False)
        kernel = _kernel(rows, columns[start:] if same else columns)  # symmetric: below its diagonal, it counts twice
        if same:
            square = kernel[:, : len(rows)]
            total += 2 * kernel.sum() - square.sum() - np.trace(square)
        else:
            total += kernel.sum()
    return float(total)


def _kernel(a: Array, b: Array) -> Array:
    base = a @ b.T
    base /= a.shape[1]
    base += 1
    kernel: Array = base * base
    kernel *= base
    return kernel
