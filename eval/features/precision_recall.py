"""Improved precision and recall: how far generated pictures lie among real ones, and back.

Kynkäänniemi et al. 2019 (arXiv:1904.06991): a set's manifold is the union of the balls around its members that reach
to their k-th nearest neighbour; precision is the share of generated pictures on the real manifold (eq. 2), recall the
share of real ones on the generated manifold. Legend: N, M rows, D width of the features.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from eval.features.arrays import two_sets

Array = NDArray[np.float64]
BLOCK = 2048  # rows and columns of a distance matrix that exist at a time
NEIGHBOURS = 3


class PrecisionRecall(NamedTuple):
    """Both in 0..1."""

    precision: float
    recall: float


def precision_recall(generated: ArrayLike, real: ArrayLike, k: int = NEIGHBOURS) -> PrecisionRecall:
    """Precision and recall of features (N, D) and (M, D). A picture on a ball's surface is inside.

    Raises ``ValueError`` for different widths, values not real and finite, or a side without k neighbours each.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    ours, theirs = two_sets(generated, real, k)
    our_reach, their_reach = radii(ours, k), radii(theirs, k)
    found, covered = np.zeros(len(ours), bool), np.zeros(len(theirs), bool)
    for rows, columns, distances, rounding in _tiles(ours, theirs, "precision and recall"):
        found[rows] |= (distances <= their_reach[columns] + rounding).any(axis=1)
        covered[columns] |= (distances <= our_reach[rows, None] + rounding).any(axis=0)
    return PrecisionRecall(float(found.mean()), float(covered.mean()))


def radii(features: Array, k: int) -> Array:
    """Squared distance (N,) of every row (of more than k) to its k-th nearest other row."""
    nearest = np.full((len(features), k), np.inf)  # of those seen so far
    for rows, columns, distances, _ in _tiles(features, features, "neighbours", half=True):
        if rows == columns:
            np.fill_diagonal(distances, np.inf)  # a row is not its own neighbour, a copy of it is
        seen = [(rows, distances)] if rows == columns else [(rows, distances), (columns, distances.T)]
        for place, others in seen:
            nearest[place] = np.partition(np.hstack([nearest[place], others]), k - 1, axis=1)[:, :k]
    return nearest.max(axis=1)


def _tiles(rows: Array, others: Array, what: str, half: bool = False) -> Iterator[tuple[slice, slice, Array, Array]]:
    """All squared distances between two sets, by tiles of up to ``BLOCK`` x ``BLOCK``: their place, they, and their
    rounding. Only a tile's rows are ever copied to float64. ``half``: of a set and itself, not both of a tile and its
    transpose.

    A distance that may be rounding error alone is 0, so that copies of a picture do lie on each other. The origin is
    moved to the mean of the others: far from it, lengths would swallow distances.
    """
    origin = others.mean(axis=0, dtype=np.float64)
    epsilon = others.shape[1] * np.finfo(np.float64).eps
    for right in tqdm(_slices(len(others)), what, unit="block", leave=False, disable=None):
        columns = others[right] - origin
        lengths = np.einsum("nd,nd->n", columns, columns)
        for left in _slices(right.stop if half else len(rows)):
            block = rows[left] - origin
            sums = np.einsum("nd,nd->n", block, block)[:, None] + lengths
            distances = sums - 2 * (block @ columns.T)
            sums *= epsilon
            distances[distances <= sums] = 0.0
            yield left, right, distances, sums


def _slices(length: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK)]
