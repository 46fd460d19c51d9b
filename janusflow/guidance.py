"""Classifier-free guidance (Ho & Salimans 2022) as a wrapper around a velocity."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from janusflow.samplers import Velocity

VelocityPair = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def check_weight(weight: float) -> None:
    """Raise ``ValueError`` for a weight that is negative or not a finite number."""
    if not 0 <= weight < math.inf:
        raise ValueError(f"guidance must be a number of 0 or more, got {weight}")


def guided_velocity(conditional: Velocity, pair: VelocityPair, weight: float) -> Velocity:
    """JanusFlow Eq. 5: v = w v_cond + (1 - w) v_uncond.

    ``pair(z, t)`` gives (v_cond, v_uncond), usually from one pass over a doubled batch; at w = 1 the unconditional
    half is never computed and the result is ``conditional`` itself. Raises ``ValueError`` for a negative weight.
    """
    check_weight(weight)
    if weight == 1:
        return conditional

    def velocity(z: Tensor, t: Tensor) -> Tensor:
        v_cond, v_uncond = pair(z, t)
        return weight * v_cond.float() + (1 - weight) * v_uncond.float()

    return velocity
