"""Attention of the language model.

Samples that share a row are kept apart by their segment numbers. On CUDA in half precision the variable-length kernel
of ``torch.nn.attention.varlen`` runs over the samples and builds no mask; elsewhere SDPA takes a dense mask. Where a
CPU trains in bf16, attention is written out: for rows so short that is faster (``benchmarks/attention.py``).

Legend: B rows, L positions in a row, K key positions (earlier ones included), H heads, d head size, S samples.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

from janusflow.precision import matmul_dtype

CAUSAL_WINDOW = (-1, 0)  # any number of positions back, none ahead


class Visible(NamedTuple):
    """What queries see. With neither, attention is causal over the row; a single query sees all keys."""

    mask: Tensor | None = None  # (B, 1, L, K): True where a query may look, or what is added to the logits
    boundaries: Tensor | None = None  # see :func:`sample_boundaries`


def visible_in_segments(segments: Tensor, like: Tensor, groups: Tensor | None = None) -> Visible:
    """Each position sees the earlier ones of its sample and itself: of (B, L) numbers, for products with ``like``.

    groups: (B, L) numbers of positions that see each other fully; 0 where a position is of none.
    """
    if groups is None and has_varlen_kernel(like.device, matmul_dtype(like)):
        return Visible(boundaries=sample_boundaries(segments))
    mask = sample_mask(segments)
    if groups is not None:
        mask |= ((groups.unsqueeze(2) == groups.unsqueeze(1)) & (groups > 0).unsqueeze(1)).unsqueeze(1)
    return Visible(mask)


def attend(query: Tensor, key: Tensor, value: Tensor, visible: Visible) -> Tensor:
    """Scaled dot-product attention: query (B, H, L, d), key and value (B, H_kv, K, d) in, (B, L, H, d) out."""
    if visible.boundaries is not None:
        return _varlen(query, key, value, visible.boundaries)
    length, mask = query.shape[2], visible.mask
    assert mask is not None or length in (1, key.shape[2]), "queries behind earlier keys need an explicit mask"
    grouped = query.shape[1] != key.shape[1]
    if mask is not None and not grouped and query.requires_grad and is_cpu_bf16(value):
        return _written_out(query.to(value.dtype), key.to(value.dtype), value, mask)
    causal = mask is None and length > 1
    out = F.scaled_dot_product_attention(query, key, value, mask, is_causal=causal, enable_gqa=grouped)
    return out.transpose(1, 2)


def _written_out(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, float("-inf"))
    with torch.autocast("cpu", enabled=False):  # which would make the softmax's (B, H, L, K) fp32
        logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        logits += mask.to(logits.dtype)
        return (logits.softmax(dim=-1) @ value).transpose(1, 2)


def _varlen(query: Tensor, key: Tensor, value: Tensor, boundaries: Tensor) -> Tensor:
    rows, heads, length, _ = query.shape
    # The rotary embedding leaves fp32 under autocast; the values have the precision of the matrix products.
    q, k, v = (states.transpose(1, 2).flatten(0, 1).to(value.dtype) for states in (query, key, value))
    grouped: Any = {"enable_gqa": True} if heads != key.shape[1] else {}  # older versions do not know the option
    edges = (boundaries, boundaries, length, length)  # of queries and keys
    out = varlen_attn(q, k, v, *edges, scale=query.shape[-1] ** -0.5, window_size=CAUSAL_WINDOW, **grouped)
    assert isinstance(out, Tensor)
    return out.unflatten(0, (rows, length))


def is_cpu_bf16(x: Tensor) -> bool:
    """Whether ``x`` is in bf16 on a CPU."""
    return x.device.type == "cpu" and x.dtype == torch.bfloat16


def has_varlen_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the variable-length kernel takes queries of this kind."""
    return device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)


def sample_boundaries(segments: Tensor) -> Tensor:
    """Where samples begin in the flattened (B * L) rows, and B * L at the end: (B, L) numbers -> (S + 1,) int32.

    A row's padding counts as a sample; so does each part of a sample that is not in one piece.
    """
    begins = torch.ones_like(segments, dtype=torch.bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    starts = begins.flatten().nonzero().flatten()
    return F.pad(starts, (0, 1), value=segments.numel()).to(torch.int32)


def sample_mask(segments: Tensor) -> Tensor:
    """Who may look at whom, (B, 1, L, L): earlier positions of the same sample, and oneself."""
    same = segments.unsqueeze(2) == segments.unsqueeze(1)
    return same.tril().unsqueeze(1)
