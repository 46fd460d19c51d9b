"""The optimizers: AdamW as in JanusFlow Table 1, or Muon for runs that must be short."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from janusflow.training.muon import Muon

ALGORITHMS = ("adamw", "muon")
OUTPUTS = ("lm_head", "classifier")  # the layers onto the vocabulary and the codebook


@dataclass
class OptimConfig:
    """The optimizer and what surrounds it. The defaults are the paper's."""

    algorithm: str = "adamw"  # muon: orthogonalised momentum for the blocks' matrices, AdamW for all else
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.0
    gradient_clip: float = 1.0  # global norm
    max_skipped: int = 10  # steps in a row that may be left out because the gradient is not finite
    ema_decay: float | None = 0.999  # of the weights' moving average, ramps up over the first steps; null: no average

    def __post_init__(self) -> None:
        if self.gradient_clip <= 0:
            raise ValueError(f"optim.gradient_clip must be over 0, got {self.gradient_clip}")
        if self.ema_decay is not None and not 0 <= self.ema_decay < 1:
            raise ValueError(f"optim.ema_decay must lie in [0, 1) or be null, got {self.ema_decay}")
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"unknown optim.algorithm {self.algorithm!r}; choose from {', '.join(ALGORITHMS)}")


class OptimizerUnion(torch.optim.Optimizer):
    """Several optimizers over disjoint parameters as one: their groups side by side, their steps together."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        self.parts = list(parts)
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self.share()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step every part. ``closure`` computes loss and gradients, once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The parts' states, in order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.share()

    def share(self) -> None:
        """Let a rate that is set on this optimizer's groups reach the parts, and their state be seen here."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]
        self.state.clear()
        for part in self.parts:
            self.state.update(part.state)


def build_optimizer(
    model: nn.Module, lr: float, config: OptimConfig, dtype: torch.dtype = torch.float32
) -> torch.optim.Optimizer:
    """The optimizer of the model's trainable parameters.

    :class:`~janusflow.training.muon.Muon` takes the weights of linear layers, scaled to AdamW's usual update size, so
    that one rate serves both, and orthogonalises in ``dtype``; embeddings, vectors, convolutions and the layers onto
    vocabulary and codebook stay with AdamW.
    """
    matrices = [p for p in muon_matrices(model, config) if p.requires_grad]
    chosen = {id(parameter) for parameter in matrices}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in chosen]
    muon = [Muon(matrices, lr, config.weight_decay, dtype)] if matrices else []
    if muon and not others:  # an adapter alone
        return OptimizerUnion(muon)
    adamw = torch.optim.AdamW(
        others,
        lr=lr,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        fused=True,
    )
    return OptimizerUnion([*muon, adamw]) if muon else adamw


def muon_matrices(model: nn.Module, config: OptimConfig) -> list[torch.Tensor]:
    """What Muon would train: the weights of the linear layers but those onto the vocabulary and the codebook."""
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return [module.weight for name, module in linear if config.algorithm == "muon" and not name.endswith(OUTPUTS)]


def kept_numbers(model: nn.Module, trained: Sequence[torch.Tensor], config: OptimConfig) -> int:
    """How many numbers the optimizer of ``trained`` keeps: two for each parameter with AdamW, one with Muon."""
    once = {id(parameter) for parameter in muon_matrices(model, config)}
    return sum(p.numel() * (1 if id(p) in once else 2) for p in trained)


def parts_of(optimizer: torch.optim.Optimizer) -> list[torch.optim.Optimizer]:
    """The optimizers that ``optimizer`` consists of."""
    return optimizer.parts if isinstance(optimizer, OptimizerUnion) else [optimizer]


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Make ``lr`` the rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def clip_gradients(optimizer: torch.optim.Optimizer, limit: float) -> float:
    """Scale all gradients so that their global norm, which is returned, is at most ``limit``.

    Gradients that are not finite are left as they are.
    """
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    gradients = [parameter.grad for parameter in trained if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if isinstance(norm, DTensor):
        norm = norm.full_tensor()
    if torch.isfinite(norm):
        torch.nn.utils.clip_grads_with_norm_(trained, limit, norm)
    return norm.item()
