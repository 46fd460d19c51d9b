"""MeanFlow: average velocities, for pictures in one or a few steps (Geng et al. 2025, arXiv:2505.13447).

The average velocity from t to r obeys (r - t) u = ∫ v dτ over [t, r], and so, along the path with r fixed,
u = v + (r - t) du/dt with du/dt = ∂_z u · v + ∂_t u. The right side, without gradient, is what u is drawn to. A head
that begins as a trained flow tells u = v, whatever r; the second time's embedding starts at zero.

Legend: G images, C latent channels, S latent side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.func import jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from janusflow.flow import interpolate, target_velocity
from janusflow.guidance import guide
from janusflow.losses import LOSSES, Loss, LossConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from janusflow.models.unified import Forward, ModelConfig


@dataclass
class MeanFlowConfig(LossConfig):
    """The loss of average velocities, in the place of the flow's own (``losses.image.weight=0``)."""

    kind: str = "meanflow"
    derivative: Literal["forward", "difference"] = "forward"  # difference: where a kernel has no forward mode
    delta: float = 0.01  # step of the difference, in time
    power: float = 1.0  # an image's squared error e counts 1 / (e + offset)^power, without gradient (Sec. 4.3)
    offset: float = 1e-3
    guidance: float = 1.0  # weight of the frozen teacher's guidance, which is learnt; 1: none, and no teacher
    guidance_from: float = 0.0  # share of the stage before it
    # α-Flow (arXiv:2510.20771): from flow matching (α = 1) to MeanFlow (α = 0) over this part of the stage.
    alpha_from: float = 0.0
    alpha_to: float = 0.0
    alpha_least: float = 0.05  # below it, the derivative takes over

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.delta <= 0 or self.offset <= 0:
            raise ValueError(f"meanflow needs delta and offset above 0, got {self.delta} and {self.offset}")
        if not 0 <= self.alpha_from <= self.alpha_to <= 1:
            raise ValueError(
                f"meanflow needs 0 <= alpha_from <= alpha_to <= 1, got {self.alpha_from} and {self.alpha_to}"
            )
        if not 0 <= self.guidance < float("inf"):
            raise ValueError(f"meanflow.guidance must be a number of 0 or more, got {self.guidance}")
        if not 0 <= self.guidance_from <= 1:
            raise ValueError(f"meanflow.guidance_from is a share in [0, 1], got {self.guidance_from}")

    @property
    def needs_reference(self) -> bool:
        """Whether a frozen teacher is asked."""
        return self.guidance != 1


class MeanFlowLoss(Loss):
    """|u - (v + (r - t) du/dt)|^2, weighted image by image."""

    Config = MeanFlowConfig
    learns_from_pictures = True
    two_times = True

    def __init__(self, config: MeanFlowConfig, model: ModelConfig) -> None:
        super().__init__(config, model)
        self.config = config

    @classmethod
    def check(cls, config: MeanFlowConfig, model: ModelConfig) -> None:
        if not getattr(model.head, "average", False):
            raise ValueError(
                "the loss meanflow needs a flow head that tells average velocities: model.head.average=true"
            )
        kinds = {name: LOSSES.load(loss.kind) for name, loss in model.used_losses.items()}
        other = next((name for name, kind in kinds.items() if kind.learns_from_pictures and not kind.two_times), None)
        if other is not None:
            raise ValueError(
                f"the loss {other} would draw average velocities to those of a moment: beside meanflow, which has its "
                "place, give it the weight 0"
            )

    def forward(self, run: Forward) -> Tensor:
        head: Any = run.model.head
        state = run.state
        said = head.decode(run.spans(run.hidden), state.features).float()
        z_t, t, r = interpolate(state.x, state.z_0, state.t), state.t, state.r
        whole = self.config.derivative == "difference"  # no kernel over samples in one piece has a forward mode

        def average(z: Tensor, t: Tensor, r: Tensor) -> Tensor:
            embeds, features = head.encode(z, t, r)
            return head.decode(run.again(embeds, whole), features)

        with torch.no_grad():
            velocity = target_velocity(state.x.float(), state.z_0.float())
            if self.config.guidance != 1 and run.aside.progress >= self.config.guidance_from:
                velocity = guided_by(run, z_t, t, self.config.guidance)
            target = self.target(average, velocity, z_t, t, r, run.aside.progress, said.detach())
        errors = (said - target).square().flatten(1).mean(1)
        weights = (errors.detach() + self.config.offset) ** -self.config.power
        return (weights * errors).sum() / run.counts.images.clamp(min=1)

    def target(
        self,
        average: Callable[..., Tensor],
        velocity: Tensor,
        z_t: Tensor,
        t: Tensor,
        r: Tensor,
        progress: float,
        here: Tensor | None = None,
    ) -> Tensor:
        """What u(z_t, t, r) shall be, (G, C, S, S); ``here`` is what it is, where that is known."""
        alpha, gap = self.alpha(progress), _like(r - t, z_t)
        if alpha == 1:
            return velocity
        if alpha > 0:  # half-way to r, on the straight line: u there without gradient
            s = t + alpha * (r - t)
            ahead = _wide(average(z_t + alpha * gap * velocity, s, r))
            return alpha * velocity + (1 - alpha) * ahead
        return velocity + gap * self.slope(average, velocity, z_t, t, r, here)

    def slope(
        self,
        average: Callable[..., Tensor],
        velocity: Tensor,
        z_t: Tensor,
        t: Tensor,
        r: Tensor,
        here: Tensor | None = None,
    ) -> Tensor:
        """du/dt along the path, r fixed, (G, C, S, S) in fp32."""
        if self.config.derivative == "difference":
            delta = self.config.delta
            ahead = _wide(average(z_t + delta * velocity, t + delta, r))
            return (ahead - (_wide(average(z_t, t, r)) if here is None else here)) / delta
        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no forward mode
            found = jvp(lambda z, t: average(z, t, r), (_wide(z_t), t), (velocity, torch.ones_like(t)))
        return _wide(found[1])

    def alpha(self, progress: float) -> float:
        """Where on the way from flow matching (1) to MeanFlow (0) the stage is, at a share of ``progress`` of it."""
        begin, end = self.config.alpha_from, self.config.alpha_to
        if progress >= end:
            return 0.0
        if progress <= begin:
            return 1.0
        middle = torch.tensor(((progress - begin) / (end - begin) - 0.5) * 12)  # a sigmoid's bend fills the part
        alpha = float(torch.sigmoid(-middle))
        return 0.0 if alpha < self.config.alpha_least else alpha


def guided_by(run: Forward, z_t: Tensor, t: Tensor, weight: float) -> Tensor:
    """The frozen teacher's guided velocity at z_t (G, C, S, S) and times (G,), in fp32.

    The unconditional half runs the same rows, in which the spans do not see their prompts.
    """
    teacher = run.aside.reference
    assert teacher is not None, "a loss that asks a teacher was built without one"
    head: Any = teacher.head
    embeds, features = head.encode(z_t, t)
    rows = teacher.embed_rows(run.rows, run.und, embeds, source=run.source)
    halves: list[Tensor] = []
    for asked, whole in ((run.rows, True), (run.rows.without_prompts(), False)):
        hidden = teacher.run_llm(rows, asked, whole=whole).hidden
        halves.append(head.decode(run.spans(hidden), features).float())
    conditional, unconditional = halves
    return guide(conditional, unconditional, weight)


def _wide(x: Tensor) -> Tensor:
    """In fp32, or what is wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _like(times: Tensor, z: Tensor) -> Tensor:
    return times.view(-1, *[1] * (z.ndim - 1))
