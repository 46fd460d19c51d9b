"""Representation alignment (REPA): early LLM features of a noisy image are drawn towards SigLIP's of the clean one.

JanusFlow, Eq. 8 and Sec. 4.1; Yu et al., "Representation Alignment for Generation" (2024). Younger forms: a convolution
as the projector and targets normalised over the picture (iREPA, arXiv:2512.10794); the term only early (HASTE,
arXiv:2505.16792).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from janusflow.losses import Loss, LossConfig
from janusflow.models.shapes import Grid

if TYPE_CHECKING:
    from janusflow.models.unified import Forward, ModelConfig


EPS = 1e-6


@dataclass
class RepaConfig(LossConfig):
    """The alignment loss."""

    kind: str = "repa"
    block: int = 6  # features are taken after this LLM block, counted from 1 (Sec. 4.1: 6 of 24)
    hidden_size: int = 2048  # width of the projector's two hidden layers
    projector: Literal["mlp", "conv"] = "mlp"  # conv: one 3 x 3 convolution over the grid (iREPA)
    spatial_norm: float = 0.0  # how much of its mean over the picture a target loses before it is divided by its
    # deviation there (iREPA: near 1); 0: targets stay as they are
    until: float = 1.0  # share of a stage after which the term is off, and SigLIP is not run for it

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block < 1:
            raise ValueError(f"repa.block counts LLM blocks from 1, got {self.block}")
        for name in ("spatial_norm", "until"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"repa.{name} must lie in [0, 1], got {getattr(self, name)}")


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
        sizes = (model.llm.hidden_size, model.vision.width)
        if config.projector == "conv":
            nn.Sequential.__init__(self, nn.Conv2d(*sizes, kernel_size=3, padding=1))
        else:
            nn.Sequential.__init__(self, *projector(sizes[0], config.hidden_size, sizes[1]))
        self.config = config
        self.taps = (config.block,)

    @classmethod
    def check(cls, config: RepaConfig, model: ModelConfig) -> None:
        if config.block > model.llm.num_layers:
            raise ValueError(f"repa.block {config.block} is beyond the LLM's {model.llm.num_layers} blocks")

    def forward(self, run: Forward) -> Tensor:
        projected = self.project(run.spans(run.tapped[self.taps[0]])[:, 1:], run.model.grid_of(run.gen_pixels))
        if run.aside.progress >= self.config.until < 1:
            return 0.0 * projected.float().sum()  # the projector's gradient exists on all ranks
        with torch.no_grad():
            target = run.model.vision.features(run.gen_pixels, any_shape=True)
            if self.config.spatial_norm:
                target = spatially_normalized(target.float(), self.config.spatial_norm)
        return alignment_loss(projected, target, run.counts.images)

    def project(self, features: Tensor, grid: Grid) -> Tensor:
        """Features (G, N, D) of images of ``grid`` in SigLIP's width (G, N, C)."""
        if self.config.projector == "mlp":
            return nn.Sequential.forward(self, features)
        maps = rearrange(features, "g (h w) d -> g d h w", h=grid.rows, w=grid.columns)
        return rearrange(nn.Sequential.forward(self, maps), "g c h w -> g (h w) c")


def spatially_normalized(features: Tensor, share: float) -> Tensor:
    """Features (G, N, C) less ``share`` of each channel's mean over the picture, over its deviation there."""
    centered = features - share * features.mean(dim=1, keepdim=True)
    return centered / (features.std(dim=1, keepdim=True) + EPS)


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
