"""Representation alignment (REPA): early LLM features of a noisy image are drawn towards SigLIP's of the clean one.

JanusFlow, Eq. 8 and Sec. 4.1; Yu et al., "Representation Alignment for Generation" (2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janusflow.losses import Loss, LossConfig

if TYPE_CHECKING:
    from janusflow.models.unified import Forward, ModelConfig


@dataclass
class RepaConfig(LossConfig):
    """The alignment loss."""

    kind: str = "repa"
    block: int = 6  # features are taken after this LLM block, counted from 1 (Sec. 4.1: 6 of 24)
    hidden_size: int = 2048  # width of the projector's two hidden layers

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block < 1:
            raise ValueError(f"repa.block counts LLM blocks from 1, got {self.block}")


def projector(in_size: int, hidden_size: int, out_size: int) -> list[nn.Module]:
    """The three-layer MLP h_phi: (..., in_size) -> (..., out_size)."""
    sizes = ((in_size, hidden_size), (hidden_size, hidden_size), (hidden_size, out_size))
    first, second, third = (nn.Linear(*size) for size in sizes)
    return [first, nn.SiLU(), second, nn.SiLU(), third]


class RepaLoss(Loss, nn.Sequential):
    """Minus the cosine similarity of projected features of an LLM block and SigLIP's; the module is the projector."""

    Config = RepaConfig
    module = "projector"
    needs_siglip = True

    def __init__(self, config: RepaConfig, model: ModelConfig) -> None:
        nn.Sequential.__init__(self, *projector(model.llm.hidden_size, config.hidden_size, model.vision.width))
        self.taps = (config.block,)

    @classmethod
    def check(cls, config: RepaConfig, model: ModelConfig) -> None:
        if config.block > model.llm.num_layers:
            raise ValueError(f"repa.block {config.block} is beyond the LLM's {model.llm.num_layers} blocks")

    def forward(self, run: Forward) -> Tensor:
        with torch.no_grad():
            target = run.model.vision.features(run.gen_pixels)
        projected = nn.Sequential.forward(self, run.spans(run.tapped[self.taps[0]])[:, 1:])
        return alignment_loss(projected, target, run.counts.images)


def alignment_loss(projected: Tensor, target: Tensor, total: Tensor | None = None) -> Tensor:
    """Eq. 8: minus the mean cosine similarity, in fp32. Both (G, N, D_enc); no gradient reaches ``target``.

    The value lies in [-1, 1]; -1 is perfect alignment. total: number of images that the mean is over (default G).
    Raises ``ValueError`` where the grids differ.
    """
    if projected.shape != target.shape:
        raise ValueError(
            f"REPA needs the generation grid to equal SigLIP's: {tuple(projected.shape)} against {tuple(target.shape)}"
        )
    images = max(len(target), 1) if total is None else total.clamp(min=1)
    with torch.autocast(projected.device.type, enabled=False):
        similarity = F.cosine_similarity(projected.float(), target.detach().float(), dim=-1)
    return -similarity.sum() / (images * target.shape[1])
