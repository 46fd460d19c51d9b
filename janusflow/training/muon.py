"""Muon, orthogonalised in the run's precision, and all matrices of a shape at a time.

``torch.optim.Muon`` always orthogonalises in bf16, matrix after matrix; a CPU without bf16 instructions emulates these
products, which takes most of a small run's time (``benchmarks/muon.py``; measured: ``benchmarks/results/muon.json``).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration (Jordan et al. 2024)
ITERATIONS = 5
MOMENTUM = 0.95
EPS = 1e-7
RMS = 0.2  # of an update's elements, as usual with AdamW (Liu et al. 2025, Eq. 4)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised in ``dtype`` (Jordan et al. 2024), of matrices; decoupled weight decay."""

    def __init__(
        self, matrices: Sequence[Tensor], lr: float, weight_decay: float = 0.0, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step. ``closure`` computes loss and gradients, once."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            alike: dict[Any, list[Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alone = isinstance(matrix, DTensor)  # which cannot be stacked with others
                    alike[id(matrix) if alone else (matrix.shape, matrix.device)].append(matrix)
            for matrices in alike.values():
                self._step(matrices, group["lr"], group["weight_decay"])
        return loss

    def _step(self, matrices: Sequence[Tensor], lr: float, weight_decay: float) -> None:
        directions = []
        for matrix in matrices:
            assert matrix.grad is not None
            state = self.state[matrix]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(matrix.grad)
            average = state["momentum_buffer"]
            average.lerp_(matrix.grad, 1 - MOMENTUM)
            directions.append(matrix.grad.lerp(average, MOMENTUM))
        together = torch.stack(directions) if len(directions) > 1 else directions[0].unsqueeze(0)
        updates = orthogonalized(together, self.dtype)
        scale = RMS * math.sqrt(max(together.shape[-2:]))
        for matrix, update in zip(matrices, updates, strict=True):
            matrix.mul_(1 - lr * weight_decay).add_(update, alpha=-lr * scale)


def orthogonalized(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Nearly the orthogonal factors of the polar decompositions of matrices (K, m, n), computed in ``dtype``.

    Their singular values become about 0.7 to 1.2, which serves as well as 1 (Jordan et al. 2024).
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.to(dtype)
    x = x.mT if tall else x
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=EPS)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
