"""Solvers for dz/dt = v(z, t) from t = 0 (noise) to t = 1 (data).

``velocity`` is any callable (z, t) -> v, or of average velocities (z, t, r) -> u, with z of any shape (B, ...) and
times as 0-dim fp32 tensors. A solver gives z after each step; what it remembers of earlier steps are its local
variables. State and step stay in fp32 whatever precision the velocity is computed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from janusflow.flow import shift_times
from janusflow.registry import Registry

Velocity = Callable[..., Tensor]  # (z, t), and of average velocities also the time to which: (z, t, r)
Solver = Callable[[Velocity, Tensor, Tensor], Iterator[Tensor]]
OnStep = Callable[[int, int, Tensor], None]  # on_step(done, total, latents as they are)


def euler(velocity: Velocity, z: Tensor, times: Tensor) -> Iterator[Tensor]:
    """First order, one evaluation a step (JanusFlow Eq. 4)."""
    for t, dt in zip(times, times.diff(), strict=False):
        z = z + dt * velocity(z, t).float()
        yield z


def heun(velocity: Velocity, z: Tensor, times: Tensor) -> Iterator[Tensor]:
    """Second order, two evaluations: the mean of the slopes at both ends."""
    for t, dt in zip(times, times.diff(), strict=False):
        first = velocity(z, t).float()
        second = velocity(z + dt * first, t + dt).float()
        z = z + dt * 0.5 * (first + second)
        yield z


def midpoint(velocity: Velocity, z: Tensor, times: Tensor) -> Iterator[Tensor]:
    """Second order, two evaluations: the slope half-way."""
    for t, dt in zip(times, times.diff(), strict=False):
        half = z + 0.5 * dt * velocity(z, t).float()
        z = z + dt * velocity(half, t + 0.5 * dt).float()
        yield z


def ab2(velocity: Velocity, z: Tensor, times: Tensor) -> Iterator[Tensor]:
    """Second order, one evaluation a step: Adams-Bashforth over steps of any lengths, which remembers the last slope.

    The first step is Heun's, with two evaluations: an Euler step would spoil the order.
    """
    before: tuple[Tensor, Tensor] | None = None  # the last step's slope and length
    for t, dt in zip(times, times.diff(), strict=False):
        slope = velocity(z, t).float()
        if before is None:
            ahead = velocity(z + dt * slope, t + dt).float()
            z = z + dt * 0.5 * (slope + ahead)
        else:
            last, length = before
            z = z + dt * (slope + 0.5 * dt / length * (slope - last))
        before = slope, dt
        yield z


def meanflow(velocity: Velocity, z: Tensor, times: Tensor) -> Iterator[Tensor]:
    """Of average velocities, (z, t, r): exact in any number of steps where they are (MeanFlow, arXiv:2505.13447)."""
    for t, r in pairwise(times):
        z = z + (r - t) * velocity(z, t, r).float()
        yield z


SAMPLERS: Registry[Solver] = Registry(
    "sampler",
    "janusflow.samplers",
    {name: f"janusflow.samplers:{name}" for name in ("euler", "heun", "midpoint", "ab2", "meanflow")},
)


def check_solver(steps: int, sampler: str, shift: float) -> None:
    """Raise ``ValueError`` with the value where :func:`integrate` could not run."""
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    SAMPLERS.load(sampler)
    if not shift > 0:
        raise ValueError(f"time shift must be positive, got {shift}")


def time_grid(steps: int, shift: float = 1.0) -> Tensor:
    """``steps + 1`` times from 0 to 1, fp32: t / (t + shift (1 - t)); ``shift`` > 1 spends more steps at the noise."""
    t = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    return shift_times(t, shift).float()


def integrate(
    velocity: Velocity,
    z_0: Tensor,
    steps: int,
    sampler: str = "euler",
    shift: float = 1.0,
    on_step: OnStep | None = None,
) -> Tensor:
    """Carry ``z_0`` from t = 0 to t = 1 in ``steps`` steps; returns z_1 in fp32, shaped like ``z_0``.

    ``on_step(done, steps, z)`` is called after every step. Raises ``ValueError`` for impossible options.
    """
    check_solver(steps, sampler, shift)
    times = time_grid(steps, shift).to(z_0.device)
    z = z_0.float()
    for done, z_t in enumerate(SAMPLERS.load(sampler)(velocity, z, times), 1):
        z = z_t
        if on_step is not None:
            on_step(done, steps, z)
    return z
