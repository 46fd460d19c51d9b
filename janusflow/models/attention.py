"""Attention of the language model, registered with transformers under one name.

Samples that share a row are kept apart by their segment numbers. On CUDA in half precision the variable-length kernel
of ``torch.nn.attention.varlen`` runs over the samples and builds no mask; elsewhere SDPA takes a dense mask.

Legend: B rows, L positions in a row, K key positions (cache included), H heads, d head size, S samples.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface

ATTENTION = "janusflow"
CAUSAL_WINDOW = (-1, 0)  # any number of positions back, none ahead


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    boundaries: Tensor | None = None,
    **kwargs: object,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it: query (B, H, L, d), key and value (B, H, K, d) in, (B, L, H, d) out.

    attention_mask: (B, 1, L, K) boolean, True where a query may look. boundaries: see :func:`sample_boundaries`.
    With neither, attention is causal over the row. transformers builds no mask for a function of a name that it does
    not know, and so never takes position ids with gaps, which prompts dropped for guidance have, for packed rows.
    """
    scale = float(kwargs["scaling"])  # type: ignore[arg-type]
    if boundaries is not None:
        return _varlen(query, key, value, boundaries, scale), None
    assert attention_mask is not None or query.shape[2] in (1, key.shape[2]), "a filled cache needs an explicit mask"
    out = F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=attention_mask,
        is_causal=attention_mask is None and query.shape[2] > 1,
        scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return out.transpose(1, 2), None


AttentionInterface.register(ATTENTION, attention)


def _varlen(query: Tensor, key: Tensor, value: Tensor, boundaries: Tensor, scale: float) -> Tensor:
    rows, heads, length, _ = query.shape
    # The rotary embedding leaves fp32 under autocast; the values have the precision of the matrix products.
    q, k, v = (states.transpose(1, 2).flatten(0, 1).to(value.dtype) for states in (query, key, value))
    grouped: Any = {"enable_gqa": True} if heads != key.shape[1] else {}  # older versions do not know the option
    edges = (boundaries, boundaries, length, length)  # of queries and keys
    out = varlen_attn(q, k, v, *edges, scale=scale, window_size=CAUSAL_WINDOW, **grouped)
    assert isinstance(out, Tensor)
    return out.unflatten(0, (rows, length))


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
