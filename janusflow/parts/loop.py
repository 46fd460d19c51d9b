"""The training loop that the parts share; it goes on where it was killed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from janusflow.precision import autocast, fast_dtype
from janusflow.training.optim import OptimConfig, build_optimizer, set_rate

WARMUP = 50  # steps
SAVE_EVERY = 100  # steps
SMOOTH = 0.98  # share of the earlier loss in the one that is shown


def fit(
    name: str,
    model: nn.Module,
    loss: Callable[[int], Tensor],
    steps: int,
    lr: float,
    state: Path,
    algorithm: str = "adamw",
) -> float:
    """Minimise ``loss(step)``, whose batch depends on the step alone, over ``model`` with warm-up and cosine decay.

    ``state``: a file that holds how far it is; the caller removes it. Returns the last losses' mean.
    """
    cpu = torch.device("cpu")
    optimizer = build_optimizer(model, lr, OptimConfig(algorithm=algorithm), fast_dtype(cpu))
    first, shown = 0, 0.0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first, shown = saved["step"], saved["shown"]
    bar = tqdm(range(first, steps), desc=name, initial=first, total=steps, mininterval=2)
    model.train()
    for step in bar:
        torch.manual_seed(step)  # of what the loss draws
        with autocast(cpu):
            value = loss(step)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        set_rate(optimizer, lr * min(1.0, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * step / steps)))
        optimizer.step()
        shown = SMOOTH * shown + (1 - SMOOTH) * value.item()
        bar.set_postfix(loss=f"{shown / (1 - SMOOTH ** (step + 1)):.4f}", refresh=False)
        if (step + 1) % SAVE_EVERY == 0:
            content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save({**content, "shown": shown}, state.with_suffix(".new"))
            state.with_suffix(".new").replace(state)
    model.eval()
    return shown / (1 - SMOOTH**steps)
