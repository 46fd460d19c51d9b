"""The moving average of the weights, which is what samples, scores and exports use."""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, TypeVar

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from janusflow.adapters import copy_sharing

M = TypeVar("M", bound=nn.Module)


class EMA(nn.Module, Generic[M]):
    """A frozen copy of ``model`` that follows it.

    The decay ramps up as (1 + n) / (10 + n) with the number of updates n, up to ``decay``, so that a short run's
    average is not dominated by its start. Parameters that are ``shared`` never train: both hold the same.
    """

    def __init__(self, model: M, decay: float, shared: Collection[nn.Parameter] = ()) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"ema_decay must lie in [0, 1), got {decay}")
        self.decay = decay
        self.model: M = copy_sharing(model, shared).requires_grad_(False).eval()
        self.updates: torch.Tensor
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move every average towards ``model``'s parameter."""
        n = int(self.updates)
        weight = 1 - min(self.decay, (1 + n) / (10 + n))
        pairs = [(a, p) for a, p in zip(self.model.parameters(), model.parameters(), strict=True) if a is not p]
        averages, values = zip(*pairs, strict=True)
        torch._foreach_lerp_(local_parts(averages), local_parts(values), weight)
        self.updates += 1

    def train(self, mode: bool = True) -> EMA:
        """Stay in eval mode."""
        return super().train(False)


@torch.no_grad()
def follow(old: nn.Module, model: nn.Module, keep: float) -> None:
    """Let ``old`` keep the share ``keep`` of its weights and take the rest from ``model``."""
    pairs = [(a, b) for a, b in zip(old.parameters(), model.parameters(), strict=True) if a is not b]
    ours, theirs = ([*side] for side in zip(*pairs, strict=True))
    torch._foreach_lerp_(local_parts(ours), local_parts(theirs), 1 - keep)


def local_parts(parameters: Collection[nn.Parameter]) -> list[torch.Tensor]:
    """The parameters' values that this process holds: its shards where the model is sharded."""
    return [p.to_local() if isinstance(p, DTensor) else p for p in (p.detach() for p in parameters)]
