"""Representation alignment (REPA): early LLM features of a noisy image are drawn towards SigLIP's of the clean one.

JanusFlow, Eq. 8 and Sec. 4.1; Yu et al., "Representation Alignment for Generation" (2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class RepaConfig:
    """The alignment loss. ``enabled=False`` leaves the projector out of the model."""

    enabled: bool = True
    block: int = 6  # features are taken after this LLM block, counted from 1 (Sec. 4.1: 6 of 24)
    hidden_size: int = 2048  # width of the projector's two hidden layers

    def __post_init__(self) -> None:
        if self.block < 1:
            raise ValueError(f"repa.block counts LLM blocks from 1, got {self.block}")


class FeatureTap:
    """While entered, keeps the last output of ``module`` in ``features``."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.features: Tensor | None = None

    def __enter__(self) -> FeatureTap:
        self._handle = self.module.register_forward_hook(self._keep)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.remove()

    def _keep(self, module: nn.Module, args: tuple, output: Tensor | tuple) -> None:
        self.features = output if isinstance(output, Tensor) else output[0]


class Projector(nn.Sequential):
    """The three-layer MLP h_phi: (..., in_size) -> (..., out_size). Training only; released checkpoints lack it."""

    def __init__(self, in_size: int, hidden_size: int, out_size: int) -> None:
        super().__init__(
            nn.Linear(in_size, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, out_size),
        )


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
