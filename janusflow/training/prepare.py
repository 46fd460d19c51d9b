"""A model made ready to train as the settings say: its frozen reference, its blocks, the precision."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.utils.checkpoint

from janusflow.adapters import copy_sharing, frozen_base
from janusflow.models.unified import UnifiedModel
from janusflow.precision import fast_bf16
from janusflow.training.config import TrainerConfig


def reference_of(model: UnifiedModel, kept: frozenset[str] | None) -> UnifiedModel | None:
    """A frozen copy of the model that a run begins with, where a loss asks for it; ``kept``: all that is copied."""
    if not any(loss.needs_reference for loss in model.config.used_losses.values()):
        return None
    return copy_sharing(model, frozen_base(model, kept)).eval().requires_grad_(False)


def old_of(model: UnifiedModel, kept: frozenset[str] | None) -> UnifiedModel | None:
    """A copy that follows the weights slowly, where a loss draws with one; ``kept``: all that is copied."""
    if not any(loss.asks_old for loss in model.losses.values()):
        return None
    return copy_sharing(model, frozen_base(model, kept)).eval().requires_grad_(False)


def prepare_blocks(model: UnifiedModel, config: TrainerConfig) -> None:
    """Compile the LLM's blocks and drop their activations, as configured; parameter names stay."""
    for block in model.llm.blocks:
        if config.checkpoint_activations:
            block.forward = partial(checkpoint_call, block.forward)
        if config.compile:
            block.compile()


def checkpoint_call(forward: Any, *args: Any, **kwargs: Any) -> Any:
    """``forward``, whose activations are computed again in the backward pass."""
    return torch.utils.checkpoint.checkpoint(forward, *args, use_reentrant=False, **kwargs)


def lightning_precision(precision: str) -> Any:
    """Lightning's name for the configured precision."""
    if precision != "auto":
        return precision
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return "bf16-mixed" if fast_bf16(device) else "32-true"
