"""The choice of the next token from logits: of an answer's words and of an image's codes.

Legend: B rows, V vocabulary or codebook.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

COLDEST = 1e-30  # temperature of which fp32 still has the inverse


def check_decoding(temperature: float, top_k: int | None, top_p: float) -> None:
    """Raise ``ValueError`` with the value where :func:`choose` could not run."""
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature must be a number of 0 or more, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must lie in (0, 1], got {top_p}")


def check_finite(finite: Tensor) -> None:
    """Raise ``ValueError`` where ``finite``, a boolean scalar, is false: tokens would be drawn from nothing."""
    if not finite:
        raise ValueError("the model's logits are not finite: try another dtype, such as bfloat16 or float32")


def choose(
    logits: Tensor, uniforms: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0
) -> Tensor:
    """One token (B,) of each row of ``logits`` (B, V): the likeliest at temperature 0, else a draw.

    uniforms: (B,) in [0, 1), which the draws are a function of; so a row's token depends on its own number alone.
    top_k: draw from that many likeliest tokens. top_p: draw from the fewest tokens that hold this probability (Holtzman
    et al. 2020), of those that top_k leaves.
    """
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits.float()
    logits = (logits - logits.amax(-1, keepdim=True)) / max(temperature, COLDEST)  # at most 0: nothing overflows
    probabilities = logits.softmax(-1)
    if top_k is None and top_p == 1:
        return inverse(probabilities, uniforms)
    ordered, tokens = probabilities.topk(min(top_k or logits.shape[-1], logits.shape[-1]), dim=-1)
    before = ordered.cumsum(-1) - ordered  # the first token always stays
    ordered = ordered * (before < top_p * ordered.sum(-1, keepdim=True))
    return tokens.gather(-1, inverse(ordered, uniforms).unsqueeze(-1)).squeeze(-1)


def log_prob(logits: Tensor, codes: Tensor, temperature: float) -> Tensor:
    """Log-probabilities (…) of codes (…) that were drawn from logits (…, K) at a temperature."""
    return (logits.float() / temperature).log_softmax(-1).gather(-1, codes.unsqueeze(-1)).squeeze(-1)


def inverse(weights: Tensor, uniforms: Tensor) -> Tensor:
    """The index (B,) at which the cumulative sum of ``weights`` (B, V) passes the share ``uniforms`` (B,) of it all."""
    cumulative = weights.double().cumsum(-1) if weights.device.type != "mps" else weights.cumsum(-1)
    wanted = uniforms.to(cumulative.dtype).unsqueeze(-1) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, wanted, right=True).squeeze(-1).clamp(max=weights.shape[-1] - 1)
