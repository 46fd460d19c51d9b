"""What a stage takes of memory and disk, by kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import nn

from janusflow.models.unified import UnifiedModel
from janusflow.training.config import RunConfig, TrainerConfig
from janusflow.training.optim import kept_numbers
from janusflow.training.stages import StageConfig, trained, trained_names

WIDE = 4  # bytes of what trains, its gradient, average and optimizer: fp32


class Needs(NamedTuple):
    """Bytes that a stage takes in all: in memory, where sharding divides them, and on disk.

    Activations and what half precision copies come on top.
    """

    weights: int
    gradients: int  # of what trains
    optimizer: int
    average: int
    reference: int  # the frozen copy that some losses ask
    old: int  # the slow copy that draws, where a loss learns of it
    exported: int  # on disk: the model, or an adapter with what else trains

    @property
    def memory(self) -> int:
        """All that a step finds in memory."""
        return self.weights + self.gradients + self.optimizer + self.average + self.reference + self.old

    @property
    def state(self) -> int:
        """A training state on disk."""
        return self.exported + self.optimizer + self.average + self.old


def stage_needs(model: UnifiedModel, stage: StageConfig, config: RunConfig) -> Needs:
    """What ``stage`` of a run takes of the model, which may lie on the meta device."""
    training = [*trained(model, stage).values()]
    weights = sum(weight_bytes(parameter, config.adapter.base_bits) for parameter in model.parameters())
    copied = weights  # what the average and the reference have of their own
    if config.adapter.rank:
        names = trained_names(model, config.stages.values())
        copied = WIDE * count(value for name, value in model.named_parameters() if name in names)
    asked = any(loss.needs_reference for loss in model.config.used_losses.values())
    slow = any(loss.asks_old for loss in model.losses.values())
    return Needs(
        weights=weights,
        gradients=WIDE * count(training),
        optimizer=WIDE * kept_numbers(model, training, config.optim),
        average=0 if config.optim.ema_decay is None else copied,
        reference=copied if asked else 0,
        old=copied if slow else 0,
        exported=copied,
    )


def weight_bytes(parameter: nn.Parameter, base_bits: int) -> int:
    """The bytes of a parameter; those that an adapter's base holds in half precision may be rounded further."""
    size = parameter.numel() * parameter.element_size()
    return size * base_bits // 16 if parameter.dtype == torch.bfloat16 and base_bits < 16 else size


def count(parameters: Iterable[nn.Parameter]) -> int:
    """How many numbers they are."""
    return sum(parameter.numel() for parameter in parameters)


def kinds(needs: Sequence[Needs]) -> dict[str, list[int]]:
    """Bytes in memory by kind, of each of the ``needs``; a kind that none has is left out where it is a rare one."""
    names = ("weights", "gradients", "optimizer", "average", "reference", "old")
    found = {name: [getattr(need, name) for need in needs] for name in names}
    return {name: sizes for name, sizes in found.items() if name not in ("reference", "old") or any(sizes)}


def shards(config: TrainerConfig, ranks: int) -> int:
    """Among how many of the processes the models are divided."""
    return max(1, ranks // config.replicas) if config.strategy == "fsdp" else 1


def size_text(size: float) -> str:
    """Bytes for the eye."""
    return f"{size / 1e9:.1f} GB" if size > 1e9 else f"{size / 1e6:.1f} MB"
