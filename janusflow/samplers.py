"""Solvers for dz/dt = v(z, t) from t = 0 (noise) to t = 1 (data).

``velocity`` is any callable (z, t) -> v with z of any shape (B, ...) and t a 0-dim fp32 tensor. The state and the step
stay in fp32 whatever precision the velocity is computed in.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from janusflow.progress import Progress

Velocity = Callable[[Tensor, Tensor], Tensor]
Step = Callable[[Velocity, Tensor, Tensor, Tensor], Tensor]


def euler_step(velocity: Velocity, z: Tensor, t: Tensor, dt: Tensor) -> Tensor:
    """First order, one evaluation (JanusFlow Eq. 4)."""
    return z + dt * velocity(z, t).float()


def heun_step(velocity: Velocity, z: Tensor, t: Tensor, dt: Tensor) -> Tensor:
    """Second order, two evaluations: the mean of the slopes at both ends."""
    first = velocity(z, t).float()
    second = velocity(z + dt * first, t + dt).float()
    return z + dt * 0.5 * (first + second)


def midpoint_step(velocity: Velocity, z: Tensor, t: Tensor, dt: Tensor) -> Tensor:
    """Second order, two evaluations: the slope half-way."""
    half = z + 0.5 * dt * velocity(z, t).float()
    return z + dt * velocity(half, t + 0.5 * dt).float()


SAMPLERS: dict[str, Step] = {"euler": euler_step, "heun": heun_step, "midpoint": midpoint_step}


def check_solver(steps: int, sampler: str, shift: float) -> None:
    """Raise ``ValueError`` with the value where :func:`integrate` could not run."""
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if sampler not in SAMPLERS:
        raise ValueError(f"unknown sampler {sampler!r}; choose from {', '.join(SAMPLERS)}")
    if not shift > 0:
        raise ValueError(f"time shift must be positive, got {shift}")


def time_grid(steps: int, shift: float = 1.0) -> Tensor:
    """``steps + 1`` times from 0 to 1, fp32: t / (t + shift (1 - t)); ``shift`` > 1 spends more steps at the noise."""
    t = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    return (t / (t + shift * (1 - t))).float()


def integrate(
    velocity: Velocity,
    z_0: Tensor,
    steps: int,
    sampler: str = "euler",
    shift: float = 1.0,
    progress: Progress | None = None,
) -> Tensor:
    """Carry ``z_0`` from t = 0 to t = 1 in ``steps`` steps; returns z_1 in fp32, shaped like ``z_0``.

    ``progress(done, steps)`` is called after every step. Raises ``ValueError`` for impossible options.
    """
    check_solver(steps, sampler, shift)
    step = SAMPLERS[sampler]
    times = time_grid(steps, shift).to(z_0.device)
    z = z_0.float()
    for k in range(steps):
        z = step(velocity, z, times[k], times[k + 1] - times[k])
        if progress is not None:
            progress(k + 1, steps)
    return z
