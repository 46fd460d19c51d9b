"""Losses of the language model."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def answer_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Eq. 6 as a mean over the supervised tokens, in fp32: logits (T, V), targets (T,). Zero where T = 0."""
    if len(targets) == 0:
        return logits.float().sum()
    return F.cross_entropy(logits.float(), targets)
