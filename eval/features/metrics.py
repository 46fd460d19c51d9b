"""The Fréchet distance as a torchmetric: fed batch by batch during training, equal on one process and on many.

torchmetrics reduces each state by itself, so a mean that needs its neighbour's count cannot be a state: the count, the
mean and the scatter of a set of features are one tensor (D + 2, D), and two of them are joined by Chan, Golub and
LeVeque's formula (1983). Legend: B rows of a batch, D width of the features, W processes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from eval.features.frechet import GaussianStats, frechet_distance


def join_moments(parts: Tensor) -> Tensor:
    """(W, D + 2, D) -> (D + 2, D): a row of counts, the mean and the scatter of all parts' rows together."""
    total = parts[0]
    for part in parts[1:]:
        n, m = total[0, 0], part[0, 0]
        if m > 0:
            gap = part[1] - total[1]
            scatter = total[2:] + part[2:] + torch.outer(gap, gap) * (n * m / (n + m))
            total = torch.cat([total[:1] + m, total[1:2] + gap * (m / (n + m)), scatter])
    return total


class FrechetDistance(Metric):
    """The squared Fréchet distance between real and generated features; an FID only of Inception's features."""

    full_state_update = False
    higher_is_better = False
    real: Tensor
    generated: Tensor

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in ("real", "generated"):
            self.add_state(name, torch.zeros(dim + 2, dim, dtype=torch.float64), dist_reduce_fx=join_moments)

    def update(self, features: Tensor, real: bool) -> None:
        """Add features (B, D) of one side. Raises ``ValueError`` for other shapes and what is not finite."""
        name = "real" if real else "generated"
        state: Tensor = getattr(self, name)
        rows = features.detach().to(state)
        if rows.ndim != 2 or rows.shape[1] != state.shape[1] or not rows.isfinite().all():
            raise ValueError(f"expected finite features (B, {state.shape[1]}), got {tuple(rows.shape)}")
        mean = rows.mean(0) if len(rows) else torch.zeros_like(state[0])
        centred = rows - mean
        part = torch.cat([torch.full_like(state[:1], len(rows)), mean[None], centred.T @ centred])
        setattr(self, name, join_moments(torch.stack([state, part])))

    def compute(self) -> Tensor:
        """The distance, float64. Raises ``ValueError`` with fewer than two features on a side."""
        sides = [state.cpu().numpy() for state in (self.generated, self.real)]
        counts = [round(side[0, 0]) for side in sides]
        stats = [
            GaussianStats.from_moments(n, side[1], side[2:] / max(n - 1, 1))
            for n, side in zip(counts, sides, strict=True)
        ]
        return torch.tensor(frechet_distance(*stats), dtype=torch.float64)
