"""Classifier-free guidance (Ho & Salimans 2022) of velocities and of logits."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from janusflow.registry import Registry
from janusflow.samplers import Velocity

Interval = tuple[float, float]
ALWAYS: Interval = (0.0, 1.0)
VelocityPair = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Form = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # (v_cond, v_uncond, z, t), all fp32, to the guided velocity


def plain(weight: float) -> Form:
    """w c + (1 - w) u."""
    return lambda v_cond, v_uncond, z, t: guide(v_cond, v_uncond, weight)


# A form is made anew for every batch of images, with the weight: what it remembers between steps is its own.
GUIDANCE: Registry[Callable[[float], Form]] = Registry(
    "guidance form", "janusflow.guidance", {"plain": "janusflow.guidance:plain"}
)


def check_guidance(weight: float, interval: Interval = ALWAYS, form: str = "plain") -> None:
    """Raise ``ValueError`` for a weight that is negative or not finite, an interval outside [0, 1], an unknown form."""
    if not 0 <= weight < math.inf:
        raise ValueError(f"guidance must be a number of 0 or more, got {weight}")
    if not 0 <= interval[0] <= interval[1] <= 1:
        raise ValueError(f"the guidance interval must lie in 0 <= from <= to <= 1, got {interval[0]} to {interval[1]}")
    GUIDANCE.load(form)


def guide(conditional: Tensor, unconditional: Tensor, weight: float) -> Tensor:
    """w c + (1 - w) u = u + w (c - u): JanusFlow, Eq. 5, of velocities; Janus, of logits."""
    return weight * conditional + (1 - weight) * unconditional


def guided_velocity(
    conditional: Velocity, pair: VelocityPair, weight: float, interval: Interval = ALWAYS, form: str = "plain"
) -> Velocity:
    """The guided velocity as a velocity.

    ``pair(z, t)`` gives (v_cond, v_uncond), usually from one pass over a doubled batch; at w = 1 the unconditional
    half is never computed and the result is ``conditional`` itself. Outside ``interval``, times from which to which
    guidance acts (Kynkäänniemi et al. 2024), v = v_cond. Raises ``ValueError`` as :func:`check_guidance`.
    """
    check_guidance(weight, interval, form)
    if weight == 1:
        return conditional
    combine = GUIDANCE.load(form)(weight)

    def velocity(z: Tensor, t: Tensor) -> Tensor:
        if not interval[0] <= float(t) <= interval[1]:
            return conditional(z, t)
        v_cond, v_uncond = pair(z, t)
        return combine(v_cond.float(), v_uncond.float(), z, t)

    return velocity
