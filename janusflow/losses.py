"""Losses of the language model."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


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
