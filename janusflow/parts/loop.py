"""The training loop that the parts share."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from tqdm import tqdm

from janusflow.precision import autocast, fast_dtype
from janusflow.training.optim import OptimConfig, build_optimizer

WARMUP = 50  # steps


def fit(
    name: str, model: nn.Module, loss: Callable[[int], Tensor], steps: int, lr: float, algorithm: str = "adamw"
) -> float:
    """Minimise ``loss(step)`` over ``model`` with warm-up and cosine decay; returns the last losses' mean."""
    cpu = torch.device("cpu")
    optimizer = build_optimizer(model, lr, OptimConfig(algorithm=algorithm), fast_dtype(cpu))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: (
            min(1.0, (step + 1) / WARMUP) * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * step / steps)).item())
        ),
    )
    recent: list[float] = []
    context: AbstractContextManager = autocast(cpu)
    bar = tqdm(range(steps), desc=name, mininterval=2)
    model.train()
    for step in bar:
        with context:
            value = loss(step)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        recent = [*recent[-49:], value.item()]
        bar.set_postfix(loss=f"{sum(recent) / len(recent):.4f}", refresh=False)
    model.eval()
    return sum(recent) / len(recent)
