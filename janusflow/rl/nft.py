"""DiffusionNFT (Zheng et al. 2025, arXiv:2509.16117): a flow learns from verdicts by its forward process alone.

Good images draw the velocity towards a mixture v+ of the drawing weights' v_old and the trained v, bad ones draw the
mirrored mixture v- towards themselves. Any solver draws, without guidance; no log-probabilities are needed.

Legend: G images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from janusflow.flow import interpolate, target_velocity
from janusflow.losses import LossConfig
from janusflow.rl.policy import PolicyLoss, check_no_worse

if TYPE_CHECKING:
    from janusflow.models.unified import Forward, ModelConfig, UnifiedModel


@dataclass
class NFTConfig(LossConfig):
    """The loss; in the place of the flow's own (``losses.image.weight=0``)."""

    kind: str = "nft"
    beta: float = 1.0  # how far v+ and v- are from v_old: v+ = (1 - beta) v_old + beta v
    scale: float = 2.0  # standard deviations of a group at which an image is wholly good or bad (the paper's Z)
    kl: float = 0.0  # weight of the squared distance to the velocity of the model that the run began with
    # At every round's begin, v_old's weights keep min(ramp x round, old) of themselves and follow the trained ones.
    old: float = 0.5
    ramp: float = 0.001

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta <= 0 or self.scale <= 0 or self.kl < 0:
            raise ValueError(f"nft needs beta and scale above 0 and kl of 0 or more, got {self}")
        if not 0 <= self.old < 1 or self.ramp < 0:
            raise ValueError(f"nft.old must lie in [0, 1) and ramp be 0 or more, got {self.old} and {self.ramp}")

    @property
    def needs_reference(self) -> bool:
        return self.kl > 0


class NFTLoss(PolicyLoss):
    """r |v+ - (x - z_0)|^2 + (1 - r) |v- - (x - z_0)|^2 with the optimality r = 1/2 + 1/2 clip(A / scale, -1, 1)."""

    Config = NFTConfig
    flow = True
    asks_old = True

    def __init__(self, config: NFTConfig, model: ModelConfig) -> None:
        super().__init__(config, model)
        self.config = config

    def check_sampling(self, options: Any) -> None:
        if options.sampler == "meanflow":
            raise ValueError("nft trains velocities, and the sampler meanflow draws by average ones: choose another")
        if options.guidance != 1:
            raise ValueError(f"nft draws without guidance: rollout.sampling.guidance must be 1, got {options.guidance}")
        check_no_worse(self.config.kind, options)

    def keep(self, number: int) -> float:
        return min(self.config.ramp * number, self.config.old)

    def forward(self, run: Forward) -> Tensor:
        head: Any = run.model.head
        said = head.decode(run.spans(run.hidden), run.state.features).float()
        if run.aside.drawn is None:
            return 0.0 * said.sum()
        state, values = run.state, run.aside.drawn.values
        optimality = 0.5 + 0.5 * (values["advantage"] / self.config.scale).clamp(-1, 1)
        with torch.no_grad():
            old = velocity_of(run.aside.old, run)
            reference = velocity_of(run.aside.reference, run) if self.config.kl else None
        away = self.config.beta * (said - old)
        loss = self.mean(run, optimum(old, away, target_velocity(state.x.float(), state.z_0.float()), optimality))
        if reference is not None:
            distance = self.mean(run, (said - reference).square())
            run.notes["kl"] = distance.detach()
            loss = loss + self.config.kl * distance
        run.notes["moved"] = self.mean(run, (said.detach() - old).square())
        return loss


def optimum(old: Tensor, away: Tensor, target: Tensor, optimality: Tensor) -> Tensor:
    """The loss of every element, (G, …): v+ = v_old + away where the image is good, v- = v_old - away where it is bad.

    optimality: (G,) in [0, 1].
    """
    share = optimality.view(-1, *[1] * (old.ndim - 1))
    return share * (old + away - target).square() + (1 - share) * (old - away - target).square()


def velocity_of(model: UnifiedModel | None, run: Forward) -> Tensor:
    """Another model's velocity (G, …), in fp32, at the run's noisy latents and times."""
    assert model is not None, "a loss that asks another model was built without it"
    head: Any = model.head
    state = run.state
    embeds, features = head.encode(interpolate(state.x, state.z_0, state.t), state.t)
    hidden = model.run_llm(model.embed_rows(run.rows, run.und, embeds), run.rows).hidden
    return head.decode(run.spans(hidden), features).float()
