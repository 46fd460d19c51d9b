"""Guidance of velocities and of logits: classifier-free (Ho & Salimans 2022), and forms of it that spoil less.

A form is a function of both halves, chosen by name with its settings in brackets: ``apg(parallel=0.5, limit=4)``. Made
anew for every batch of images, with the weight; what it remembers between steps is its own.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from janusflow.registry import Registry
from janusflow.samplers import Velocity

Interval = tuple[float, float]
ALWAYS: Interval = (0.0, 1.0)
VelocityPair = Callable[..., tuple[Tensor, ...]]
Dropped = Literal["words", "all"]  # what a prompt lacks: its words alone, or also the images that it shows
Form = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # (v_cond, v_uncond, z, t), all fp32, to the guided velocity
SPELLING = re.compile(r"\s*(?P<name>[^()]+?)\s*(?:\((?P<settings>.*)\))?\s*")


def plain(weight: float) -> Form:
    """w c + (1 - w) u."""
    return lambda v_cond, v_uncond, z, t: guide(v_cond, v_uncond, weight)


def zero_star(weight: float, scaled: float = 1.0, still: float = 0.04) -> Form:
    """CFG-Zero* (Fan et al. 2025, arXiv:2503.18886): the unconditional half is scaled, image by image, to come nearest
    to the conditional one, and nothing moves before the time ``still``.

    scaled: how far the factor goes from 1 to <c, u> / |u|^2. Neutral: ``scaled=0, still=0``.
    """
    if not 0 <= still < 1:
        raise ValueError(f"zero_star needs 0 <= still < 1, got {still:g}")

    def combine(v_cond: Tensor, v_uncond: Tensor, z: Tensor, t: Tensor) -> Tensor:
        if float(t) < still:
            return torch.zeros_like(v_cond)
        factor = 1 + scaled * (inner(v_cond, v_uncond) / inner(v_uncond, v_uncond).clamp(min=1e-12) - 1)
        return guide(v_cond, factor * v_uncond, weight)

    return combine


def apg(weight: float, parallel: float = 0.0, limit: float = math.inf, momentum: float = 0.0) -> Form:
    """Adaptive projected guidance (Sadat et al. 2024, arXiv:2410.02416): of the difference of both halves' predictions
    of the clean image, the part along the conditional prediction, which saturates colours, counts ``parallel``.

    limit: its root mean square is at most that; momentum: share of the steps before in it, usually negative; these are
    remembered as velocities, which have one size at all times. Neutral: ``parallel=1``.
    """
    if not (limit > 0 and abs(momentum) <= 1):
        raise ValueError(f"apg needs limit > 0 and -1 <= momentum <= 1, got {limit:g} and {momentum:g}")
    if parallel == 1 and limit == math.inf and not momentum:
        return plain(weight)
    running: list[Tensor] = []

    def combine(v_cond: Tensor, v_uncond: Tensor, z: Tensor, t: Tensor) -> Tensor:
        rest = 1 - t  # x = z + rest v
        difference = v_cond - v_uncond
        if momentum:
            difference = difference + momentum * running.pop() if running else difference
            running.append(difference)
        if limit < math.inf:
            size = rest * (inner(difference, difference) / difference[0].numel()).sqrt()  # of x
            difference = difference * (limit / size.clamp(min=1e-12)).clamp(max=1)
        clean = z + rest * v_cond
        along = inner(difference, clean) / inner(clean, clean).clamp(min=1e-12) * clean
        kept = difference + (parallel - 1) * along
        return v_cond + (weight - 1) * kept

    return combine


def rescaled(weight: float, share: float = 1.0) -> Form:
    """The guided velocity with the conditional one's norm, image by image (Lin et al. 2023, arXiv:2305.08891, Eq. 15;
    BAGEL's global renormalisation, arXiv:2505.14683).

    share: of that norm in the result's. Neutral: ``share=0``.
    """

    def combine(v_cond: Tensor, v_uncond: Tensor, z: Tensor, t: Tensor) -> Tensor:
        guided = guide(v_cond, v_uncond, weight)
        ratio = (inner(v_cond, v_cond) / inner(guided, guided).clamp(min=1e-12)).sqrt()
        return guided * (1 + share * (ratio.clamp(max=1) - 1))

    return combine


GUIDANCE: Registry[Callable[..., Form]] = Registry(
    "guidance form",
    "janusflow.guidance",
    {name: f"janusflow.guidance:{name}" for name in ("plain", "zero_star", "apg", "rescaled")},
)


def build_form(spelling: str, weight: float) -> Form:
    """The form of that name and settings, for the weight. Raises ``ValueError`` where there is none such."""
    match = SPELLING.fullmatch(spelling)
    if match is None:
        raise ValueError(f"a guidance form is NAME or NAME(setting=number, …), got {spelling!r}")
    make, settings = GUIDANCE.load(match["name"]), _settings(match["settings"] or "", spelling)
    known = list(inspect.signature(make).parameters)[1:]
    for name in settings:
        if name not in known:
            raise ValueError(f"the guidance form {match['name']} has no setting {name!r}; it has {', '.join(known)}")
    return make(weight, **settings)


def _settings(text: str, spelling: str) -> dict[str, Any]:
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        try:
            found[name.strip()] = float(value)
            if math.isnan(found[name.strip()]):
                raise ValueError
        except ValueError:
            raise ValueError(f"the guidance form {spelling!r}: {part!r} is not setting=number") from None
    return found


def check_guidance(weight: float, interval: Interval = ALWAYS, form: str = "plain") -> None:
    """Raise ``ValueError`` for a weight that is negative or not finite, an interval outside [0, 1], an unknown form."""
    if not 0 <= weight < math.inf:
        raise ValueError(f"guidance must be a number of 0 or more, got {weight}")
    if not 0 <= interval[0] <= interval[1] <= 1:
        raise ValueError(f"the guidance interval must lie in 0 <= from <= to <= 1, got {interval[0]} to {interval[1]}")
    build_form(form, weight)


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of images (G, ...): (G, 1, ...)."""
    return (a * b).flatten(1).sum(1).view(-1, *[1] * (a.ndim - 1))


def guide(conditional: Tensor, unconditional: Tensor, weight: float) -> Tensor:
    """w c + (1 - w) u = u + w (c - u): JanusFlow, Eq. 5, of velocities; Janus, of logits."""
    return weight * conditional + (1 - weight) * unconditional


def dropped_forms(weight: float, image_weight: float | None = None) -> tuple[Dropped, ...]:
    """Which dropped prompts guidance asks beside the whole ones.

    image_weight: that of what the prompts show; None: they show nothing, or it is dropped with the words. Of two equal
    weights, or where either is 1, what would cancel out is not asked.
    """
    if image_weight is None or image_weight == weight:
        return () if weight == 1 else ("all",)
    return ("words",) if image_weight == 1 else ("words", "all")


def guide_by_image(guided: Tensor, wordless: Tensor, empty: Tensor, weight: float) -> Tensor:
    """What is ``guided`` by words alone, over ``wordless``, guided by the image that is shown, too (Brooks et al. 2023,
    InstructPix2Pix, arXiv:2211.09800, Eq. 3): u + w_I (i - u) + w_T (c - i), with i behind the image alone and u behind
    nothing. With g = i + w_T (c - i) it is g + (w_I - 1) (i - u)."""
    return guided + (weight - 1) * (wordless - empty)


def guided_velocity(
    conditional: Velocity,
    pair: VelocityPair,
    weight: float,
    interval: Interval = ALWAYS,
    form: str = "plain",
    image_weight: float = 1.0,
) -> Velocity:
    """The guided velocity as a velocity.

    ``pair(z, t)`` gives (v_cond, v_uncond), usually from one pass over a doubled batch; at w = 1 the unconditional
    half is never computed and the result is ``conditional`` itself. Outside ``interval``, times from which to which
    guidance acts (Kynkäänniemi et al. 2024), v = v_cond. With an ``image_weight`` other than 1, v_uncond is behind the
    image that is shown and a third velocity behind nothing (:func:`guide_by_image`); the form is that of the words.
    Raises ``ValueError`` as :func:`check_guidance`.
    """
    check_guidance(weight, interval, form)
    if weight == 1 and image_weight == 1:
        return conditional
    combine = build_form(form, weight)

    def velocity(z: Tensor, t: Tensor, *until: Tensor) -> Tensor:
        if not interval[0] <= float(t) <= interval[1]:
            return conditional(z, t, *until)
        v_cond, v_uncond, *v_empty = (v.float() for v in pair(z, t, *until))
        guided = combine(v_cond, v_uncond, z, t)
        return guide_by_image(guided, v_uncond, v_empty[0], image_weight) if v_empty else guided

    return velocity
