"""Rectified flow: the straight path, the distributions of time, and the velocity loss.

One convention, stated here once: time runs from noise at t = 0 to data at t = 1,
z_t = t x + (1 - t) z_0, and the target velocity is v = x - z_0 (JanusFlow Eq. 3 and 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass
class TimeConfig:
    """P(t). ``logit_normal``: t = sigmoid(mean + std n) with n standard normal (Esser et al. 2024); ``uniform``."""

    distribution: Literal["logit_normal", "uniform"] = "logit_normal"
    mean: float = 0.0
    std: float = 1.0
    by_tokens: bool = False  # times move towards the noise where an image has more tokens than the square of the head,
    # t / (t + s (1 - t)) with s = sqrt(N / N_square) (Esser et al. 2024, arXiv:2403.03206, Sec. 5.3.2)
    instant: float = 0.6  # heads that tell average velocities: share of images whose second time is the first

    def __post_init__(self) -> None:
        if self.std <= 0:
            raise ValueError(f"time.std must be positive, got {self.std}")
        if not 0 <= self.instant <= 1:
            raise ValueError(f"time.instant is a share in [0, 1], got {self.instant}")


def sample_times(n: int, config: TimeConfig, generator: torch.Generator) -> Tensor:
    """``n`` times in (0, 1), fp32, on the generator's device."""
    device = generator.device
    if config.distribution == "uniform":
        return torch.rand(n, generator=generator, device=device)
    return torch.sigmoid(config.mean + config.std * torch.randn(n, generator=generator, device=device))


def sample_time_pairs(n: int, config: TimeConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """``n`` pairs of times t <= r for average velocities: two draws in order, or for a share of ``instant`` one twice
    (MeanFlow, arXiv:2505.13447, Sec. 4.3)."""
    first, second = sample_times(n, config, generator), sample_times(n, config, generator)
    same = torch.rand(n, generator=generator, device=generator.device) < config.instant
    return torch.where(same, first, torch.minimum(first, second)), torch.where(
        same, first, torch.maximum(first, second)
    )


def shift_times(t: Tensor, shift: float) -> Tensor:
    """t / (t + shift (1 - t)): times in [0, 1], moved towards the noise where ``shift`` > 1."""
    return t / (t + shift * (1 - t))


def interpolate(x: Tensor, z_0: Tensor, t: Tensor) -> Tensor:
    """The point z_t of the straight path from ``z_0`` to ``x``, both (B, ...), at times ``t`` (B,) (Eq. 3)."""
    t = t.view(-1, *[1] * (x.ndim - 1))
    return t * x + (1 - t) * z_0


def target_velocity(x: Tensor, z_0: Tensor) -> Tensor:
    """The velocity of the straight path: x - z_0."""
    return x - z_0


def velocity_loss(velocity: Tensor, x: Tensor, z_0: Tensor, total: Tensor | None = None) -> Tensor:
    """Eq. 7, the mean over all elements: |v - (x - z_0)|^2, in fp32. All (G, ...).

    total: number of images that the mean is over (default G); more than G where others hold the rest of a step.
    """
    errors = (velocity.float() - target_velocity(x.float(), z_0.float())).square()
    images = max(len(x), 1) if total is None else total.clamp(min=1)
    return errors.sum() / (images * errors[:1].numel() if len(x) else images)
