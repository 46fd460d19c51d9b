"""Fréchet distance between two sets of features, each summed up as a Gaussian.

    d² = |m1 - m2|² + tr(C1) + tr(C2) - 2 tr((C1 C2)^½)

Heusel et al. 2017 (arXiv:1706.08500), eq. 6. The number is called FID only when the features come from the Inception
network that the protocol names; with any other extractor it is a Fréchet distance in that extractor's space::

    frechet_distance(GaussianStats.of(generated), GaussianStats.of(real))  # features (N, D) and (M, D)

Legend: B rows of a batch, D width of the features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eval.features.arrays import real_array

Array = NDArray[np.float64]
SLACK = 1e-4  # of stored covariances, which may have been rounded to float32
BLOCK = 4096  # rows that are summed up together: 500 take twice the time a row, as (D, D) results are written oftener


class GaussianStats:
    """Number, mean and covariance of features that arrive batch by batch, in float64.

    Keeps the sum of squared deviations from the running mean and joins two parts by Chan, Golub and LeVeque's formula
    (1983), which stays exact to rounding where the mean is far from zero; plain sums of squares do not.
    """

    def __init__(self, dim: int) -> None:
        """Start empty for features of width ``dim``; raises ``ValueError`` below 1."""
        if dim < 1:
            raise ValueError(f"features must have at least one dimension, not {dim}")
        self.n = 0
        self.mean: Array = np.zeros(dim)  # (D,)
        self._scatter: Array = np.zeros((dim, dim))  # (D, D), sum of (x - mean)(x - mean)^T

    @classmethod
    def of(cls, features: ArrayLike) -> GaussianStats:
        """Statistics of features (N, D). Raises ``ValueError`` as :meth:`update`."""
        features = real_array(features)
        if features.ndim != 2:
            raise ValueError(f"expected features (N, D), got {features.shape}")
        stats = cls(features.shape[1])
        stats.update(features)
        return stats

    @classmethod
    def from_moments(cls, n: int, mean: ArrayLike, cov: ArrayLike) -> GaussianStats:
        """Statistics stored earlier: ``n`` at least 2, mean (D,), unbiased covariance (D, D).

        Raises ``ValueError`` for other shapes, a smaller ``n``, values not real and finite, and what no features have.
        """
        mean, cov = np.array(real_array(mean), np.float64), np.array(real_array(cov), np.float64)
        if mean.ndim != 1 or cov.shape != (len(mean), len(mean)):
            raise ValueError(f"expected a mean (D,) and a covariance (D, D), got {mean.shape} and {cov.shape}")
        if not (n >= 2 and n == int(n)):
            raise ValueError(f"a covariance needs at least 2 features, not {n}")
        if not (np.isfinite(mean).all() and np.isfinite(cov).all()):
            raise ValueError("mean and covariance must be finite")
        variances = np.diag(cov)
        most = np.sqrt(np.outer(variances.clip(0), variances.clip(0)))  # of the entries' sizes, by Cauchy and Schwarz
        slack = SLACK * (most + variances.max())
        if (variances < 0).any() or (abs(cov) > most + slack).any() or (abs(cov - cov.T) > slack).any():
            raise ValueError("this is no covariance: not symmetric, or larger than its variances allow")
        stats = cls(len(mean))
        stats.n, stats.mean, stats._scatter = int(n), mean, (cov + cov.T) / 2 * (n - 1)
        return stats

    @property
    def dim(self) -> int:
        """Width D of the features."""
        return len(self.mean)

    @property
    def cov(self) -> Array:
        """Unbiased covariance (D, D). Raises ``ValueError`` with fewer than two features."""
        if self.n < 2:
            raise ValueError(f"a covariance needs at least 2 features, not {self.n}")
        return self._scatter / (self.n - 1)

    def update(self, features: ArrayLike) -> None:
        """Add features (B, D). All or none: raises ``ValueError`` for another shape or values not real and finite."""
        features = real_array(features)
        if features.ndim != 2 or features.shape[1] != self.dim:
            raise ValueError(f"expected features (B, {self.dim}), got {features.shape}")
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if bad.size:
            raise ValueError(f"features must be finite; {bad.size} rows are not, the first is row {bad[0]}")
        for start in range(0, len(features), BLOCK):  # so that only a block is ever copied to float64
            self._add(features[start : start + BLOCK])

    def _add(self, rows: NDArray) -> None:
        """Join rows (B, D). The step between the means is one row more of the product, which spares a (D, D) outer."""
        n = len(rows)
        deviations = np.empty((n + 1, self.dim))
        deviations[:n] = rows
        mean = deviations[:n].mean(axis=0)
        deviations[:n] -= mean
        deviations[n] = (mean - self.mean) * np.sqrt(self.n * n / (self.n + n))
        self._scatter += deviations.T @ deviations
        self.n += n
        self.mean = self.mean + (mean - self.mean) * (n / self.n)


def frechet_distance(a: GaussianStats, b: GaussianStats) -> float:
    """The squared distance d² of the module's docstring, the convention of every published FID; at least 0.

    Raises ``ValueError`` for different widths or fewer than two features on a side.
    """
    if a.dim != b.dim:
        raise ValueError(f"features have different widths: {a.dim} and {b.dim}")
    gap = a.mean - b.mean
    cov_a, cov_b = a.cov, b.cov
    distance = gap @ gap + np.trace(cov_a) + np.trace(cov_b) - 2 * _trace_of_root(cov_a, cov_b)
    return max(float(distance), 0.0)  # rounding can leave a trace of a minus sign


def _trace_of_root(cov_a: Array, cov_b: Array) -> float:
    """tr((A B)^½) for covariances A, B (D, D) of any rank.

    With A = F F^T and B = G G^T it is the sum of the singular values of F^T G: their squares are the eigenvalues of
    A^½ B A^½, and so of A B. Unlike a matrix square root of the product it needs no full rank and never turns complex,
    and unlike the eigenvalues it does not take roots of rounding errors.
    """
    product = _factor(cov_a).T @ _factor(cov_b)
    return float(np.linalg.svd(product, compute_uv=False).sum())


def _factor(cov: Array) -> Array:
    """F (D, rank) with F F^T = ``cov``.

    Cholesky's where the matrix is safely positive: at 2048 wide it takes a small part of the time of the eigenvectors
    (``benchmarks/fid.py``). Otherwise from the eigenvectors, without those whose variance is only rounding error.
    """
    try:
        triangle = np.asarray(np.linalg.cholesky(cov), np.float64)
    except np.linalg.LinAlgError:  # not positive definite
        return _eigen_factor(cov)
    pivots = np.diag(triangle) ** 2
    return triangle if pivots.min() > _rounding(cov, pivots.max()) else _eigen_factor(cov)


def _eigen_factor(cov: Array) -> Array:
    variances, directions = np.linalg.eigh(cov)  # ascending
    real = variances > _rounding(cov, variances[-1])
    factor: Array = directions[:, real] * np.sqrt(variances[real])
    return factor


def _rounding(cov: Array, largest: float) -> float:
    """The variance up to which a direction may be rounding error alone."""
    return max(largest, 0.0) * len(cov) * float(np.finfo(np.float64).eps)
