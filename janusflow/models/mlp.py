"""The aligners' multi-layer perceptron."""

from __future__ import annotations

from torch import nn


def mlp(inputs: int, outputs: int, depth: int) -> nn.Linear | nn.Sequential:
    """``depth`` linear layers with GELU between them, all but the first ``outputs`` wide; one layer is a plain linear.

    JanusFlow aligns with one layer, Janus with two.
    """
    first = nn.Linear(inputs, outputs)
    if depth == 1:
        return first
    rest = [layer for _ in range(depth - 1) for layer in (nn.GELU(), nn.Linear(outputs, outputs))]
    return nn.Sequential(first, *rest)
