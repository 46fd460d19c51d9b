"""The moving average of the weights, which is what samples, scores and exports use."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn
from torch.distributed.tensor import DTensor

M = TypeVar("M", bound=nn.Module)


class EMA(nn.Module, Generic[M]):
    """A frozen copy of ``model`` that follows it.

    The decay ramps up as (1 + n) / (10 + n) with the number of updates n, up to ``decay``, so that a short run's
    average is not dominated by its start.
    """

    def __init__(self, model: M, decay: float) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"ema_decay must lie in [0, 1), got {decay}")
        self.decay = decay
        self.model: M = copy.deepcopy(model).requires_grad_(False).eval()
        self.updates: torch.Tensor
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move every average towards ``model``'s parameter."""
        n = int(self.updates)
        weight = 1 - min(self.decay, (1 + n) / (10 + n))
        torch._foreach_lerp_(local_parts(self.model), local_parts(model), weight)
        self.updates += 1

    def train(self, mode: bool = True) -> EMA:
        """Stay in eval mode."""
        return super().train(False)


@torch.no_grad()
def follow(old: nn.Module, model: nn.Module, keep: float) -> None:
    """Let ``old`` keep the share ``keep`` of its weights and take the rest from ``model``."""
    torch._foreach_lerp_(local_parts(old), local_parts(model), 1 - keep)


def local_parts(model: nn.Module) -> list[torch.Tensor]:
    """The parameters' values that this process holds: its shards where the model is sharded."""
    return [p.to_local() if isinstance(p, DTensor) else p for p in (p.detach() for p in model.parameters())]
