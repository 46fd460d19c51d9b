"""Losses of the language model."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def answer_cross_entropy(logits: Tensor, targets: Tensor, total: Tensor | None = None) -> Tensor:
    """Eq. 6, the mean over the supervised tokens, in fp32: logits (T, V), targets (T,). Zero where T = 0.

    total: number of tokens that the mean is over (default T); more than T where others hold the rest of a step.
    """
    tokens = max(len(targets), 1) if total is None else total.clamp(min=1)
    return F.cross_entropy(logits.float(), targets, reduction="sum") / tokens
