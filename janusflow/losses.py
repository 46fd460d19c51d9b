"""What a model is trained by: terms with weights, by names, each a mean over the whole step (JanusFlow, Sec. 3.4).

A term of one's own is a :class:`Loss` in any module: ``model.losses.mine={kind: my_module:Mine, weight: 0.1}``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from janusflow.config import Choice
from janusflow.registry import Registry

if TYPE_CHECKING:
    from janusflow.models.unified import Forward, ModelConfig

IGNORED = -100  # label of positions that nothing supervises

LOSSES: Registry[type[Loss]] = Registry(
    "loss",
    "janusflow.losses",
    {
        "ar": "janusflow.losses:AnswerLoss",
        "image": "janusflow.losses:ImageLoss",
        "repa": "janusflow.repa:RepaLoss",
        "meanflow": "janusflow.meanflow:MeanFlowLoss",
        "nft": "janusflow.rl.nft:NFTLoss",
        "flow_grpo": "janusflow.rl.flow_grpo:FlowGRPOLoss",
        "grpo": "janusflow.rl.grpo:GRPOLoss",
    },
)


@dataclass
class LossConfig(Choice):
    """A term of the loss."""

    registry = LOSSES
    weight: float = 1.0  # 0 leaves the term, with its parameters, out of the model

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError(f"a loss's weight must be 0 or more, got {self.weight}")

    @property
    def needs_reference(self) -> bool:
        """Whether it asks the model that the run began with, which stays as it was."""
        return False


class Loss(nn.Module, ABC):
    """A term; where it has parameters, they train in stages that name it, and no exported model has them."""

    Config: ClassVar[type[LossConfig]] = LossConfig
    module: ClassVar[str | None] = None  # its place in the model (default: loss_NAME)
    needs_siglip: ClassVar[bool] = False  # it asks the understanding encoder about clean images
    learns_from_pictures: ClassVar[bool] = False  # it has the head draw towards the data's images
    learns_from_rollouts: ClassVar[bool] = False  # it is over images that the model drew (see janusflow.rl)
    asks_old: ClassVar[bool] = False  # they are drawn with a slow copy of the weights, which it asks again
    two_times: ClassVar[bool] = False  # it is over average velocities, from one time of an image to a second one
    of_images: ClassVar[bool] = True  # it is over generated images: of several shapes, each is a call, and they add up
    taps: tuple[int, ...] = ()  # LLM blocks, counted from 1, whose output it asks for

    def __init__(self, config: LossConfig, model: ModelConfig) -> None:
        super().__init__()

    @classmethod
    def check(cls, config: Any, model: ModelConfig) -> None:
        """Raise ``ValueError`` where the term does not fit the model."""

    @abstractmethod
    def forward(self, run: Forward) -> Tensor:
        """The term, a scalar in fp32: this batch's share of the mean over ``run.counts``. It always runs."""


def loss_module(name: str, config: LossConfig) -> str:
    """What the module of a term is called in the model: its parameters are saved under that."""
    return LOSSES.load(config.kind).module or f"loss_{name}"


@dataclass
class AnswerLossConfig(LossConfig):
    """The language model's cross-entropy."""

    kind: str = "ar"
    z_loss: float = 0.0  # weight of log^2 Z in it; 1e-5 is Chameleon's


class AnswerLoss(Loss):
    """Cross-entropy of answers and text (Eq. 6)."""

    Config = AnswerLossConfig
    of_images = False

    def __init__(self, config: AnswerLossConfig, model: ModelConfig) -> None:
        super().__init__(config, model)
        self.z_loss = config.z_loss

    def forward(self, run: Forward) -> Tensor:
        labels = run.labels.flatten()
        supervised = labels != IGNORED  # gather before the head: most positions have no label
        logits = run.model.llm.logits(run.hidden.flatten(0, 1)[supervised])
        return answer_cross_entropy(logits, labels[supervised], run.counts.tokens, self.z_loss)


class ImageLoss(Loss):
    """The generation head's own: of velocities (Eq. 7), or the codes' cross-entropy."""

    learns_from_pictures = True

    def forward(self, run: Forward) -> Tensor:
        return run.model.head.loss(run.spans(run.hidden), run.state, run.counts.images, run.again)


def answer_cross_entropy(logits: Tensor, targets: Tensor, total: Tensor | None = None, z_weight: float = 0.0) -> Tensor:
    """Eq. 6, the mean over the supervised tokens, in fp32: logits (T, V), targets (T,). Zero where T = 0.

    total: number of tokens that the mean is over (default T); more than T where others hold the rest of a step.
    z_weight: of log^2 Z, with Z the sum of the exponentiated logits, which is added (z-loss; Chameleon, Sec. 2.3).
    """
    logits = logits.float()
    loss = F.cross_entropy(logits, targets, reduction="sum")
    if z_weight:
        loss = loss + z_weight * logits.logsumexp(-1).square().sum()
    return loss / (max(len(targets), 1) if total is None else total.clamp(min=1))
