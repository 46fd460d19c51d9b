"""The scores of pictures as torchmetrics: fed batch by batch during training, equal on one process and on many.

torchmetrics reduces each state by itself, so a mean that needs its neighbour's count cannot be a state: the count, the
mean and the scatter of a set of features are one tensor, and two of them are joined by Chan, Golub and LeVeque's
formula (1983). Legend: B rows of a batch, D width of the features, W processes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from eval.features.frechet import GaussianStats, frechet_distance
from eval.features.kid import kid


def moments(features: Tensor) -> Tensor:
    """(B, D) -> (D + 2, D) float64: a row of counts, the mean, and the scatter around it. Zeros of no rows."""
    rows = features.to(torch.float64)
    count, dim = rows.shape
    if count == 0:
        return rows.new_zeros(dim + 2, dim)
    mean = rows.mean(0)
    centred = rows - mean
    return torch.cat([rows.new_full((1, dim), count), mean[None], centred.T @ centred])


def merge_moments(parts: Tensor) -> Tensor:
    """(W, D + 2, D) -> (D + 2, D): the moments of all parts' rows together."""
    total = parts[0]
    for part in parts[1:]:
        n, m = total[0, 0], part[0, 0]
        if m == 0:
            continue
        gap = part[1] - total[1]
        mean = total[1] + gap * (m / (n + m))
        scatter = total[2:] + part[2:] + torch.outer(gap, gap) * (n * m / (n + m))
        total = torch.cat([total[:1] + part[:1], mean[None], scatter])
    return total


def gaussian(state: Tensor) -> GaussianStats:
    """Moments (D + 2, D) for the Fréchet distance. Raises ``ValueError`` with fewer than two rows."""
    values = state.cpu().numpy()
    n = round(values[0, 0])
    return GaussianStats.from_moments(n, values[1], values[2:] / max(n - 1, 1))


class FeatureMoments(Metric):
    """Mean (D,) and unbiased covariance (D, D) of features."""

    full_state_update = False
    state: Tensor

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("state", torch.zeros(dim + 2, dim, dtype=torch.float64), dist_reduce_fx=merge_moments)

    def update(self, features: Tensor) -> None:
        """Add features (B, D)."""
        check_features(features, self.state.shape[1])
        self.state = merge_moments(torch.stack([self.state, moments(features)]))

    def compute(self) -> tuple[Tensor, Tensor]:
        """Mean and covariance, float64. Raises ``ValueError`` with fewer than two features."""
        stats = gaussian(self.state)
        return torch.from_numpy(stats.mean), torch.from_numpy(stats.cov)


class FrechetDistance(Metric):
    """The squared Fréchet distance between real and generated features; an FID only of Inception's features."""

    full_state_update = False
    higher_is_better = False
    real: Tensor
    generated: Tensor

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("real", "generated"):
            self.add_state(name, torch.zeros(dim + 2, dim, dtype=torch.float64), dist_reduce_fx=merge_moments)

    def update(self, features: Tensor, real: bool) -> None:
        """Add features (B, D) of one side."""
        name = "real" if real else "generated"
        state = getattr(self, name)
        check_features(features, state.shape[1])
        setattr(self, name, merge_moments(torch.stack([state, moments(features)])))

    def compute(self) -> Tensor:
        """The distance, float64. Raises ``ValueError`` with fewer than two features on a side."""
        return torch.tensor(frechet_distance(gaussian(self.generated), gaussian(self.real)), dtype=torch.float64)


class KernelDistance(Metric):
    """The unbiased kernel distance of all features, which are kept; a KID only of Inception's features.

    The estimate of all rows rather than of random subsets: it does not depend on the order of processes.
    """

    full_state_update = False
    higher_is_better = False
    real: list[Tensor]
    generated: list[Tensor]

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        for name in ("real", "generated"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, features: Tensor, real: bool) -> None:
        """Add features (B, D) of one side."""
        check_features(features, self.dim)
        kept: list[Tensor] = self.real if real else self.generated
        kept.append(features.detach().float())

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """As the base class; a process without features takes part with none of the right width."""
        self._fill()
        super().sync(*args, **kwargs)

    def compute(self) -> Tensor:
        """The distance, float64. Raises ``ValueError`` with fewer than two features on a side."""
        self._fill()
        ours, theirs = (dim_zero_cat(side).cpu().numpy() for side in (self.generated, self.real))
        return torch.tensor(kid(ours, theirs), dtype=torch.float64)

    def _fill(self) -> None:
        for side in (self.real, self.generated):
            if isinstance(side, list) and not side:  # a tensor, once synchronised
                side.append(torch.empty(0, self.dim, device=self.device))


class MeanCLIPScore(Metric):
    """Mean of 100 x cosine between the embeddings of pictures and of their captions."""

    full_state_update = False
    higher_is_better = True
    total: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, images: Tensor, texts: Tensor) -> None:
        """Add pairs of embeddings (B, C), of any lengths."""
        if images.shape != texts.shape or images.ndim != 2:
            raise ValueError(f"expected pairs of embeddings (B, C), got {tuple(images.shape)} and {tuple(texts.shape)}")
        if not (images.isfinite().all() and texts.isfinite().all()):
            raise ValueError("embeddings must be finite")
        cosines = torch.nn.functional.cosine_similarity(images.double(), texts.double())
        self.total += 100 * cosines.sum()
        self.count += len(images)

    def compute(self) -> Tensor:
        """The mean, float64. Raises ``ValueError`` of no pairs."""
        if self.count == 0:
            raise ValueError("there are no pictures to take the mean of")
        return self.total / self.count


def check_features(features: Tensor, dim: int) -> None:
    """Raise ``ValueError`` where features are not (B, dim) and finite."""
    if features.ndim != 2 or features.shape[1] != dim:
        raise ValueError(f"expected features (B, {dim}), got {tuple(features.shape)}")
    if not features.isfinite().all():
        raise ValueError("features must be finite")
