"""The language model's blocks over keys and values in buffers of known size: the fast path of generation.

What :meth:`janusflow.models.llm.LanguageModel.forward` computes with a cache and a mask, without transformers'
bookkeeping, which costs more than the products where a pass is one token of a small model.

Legend: R rows, n positions of a pass, K key positions so far, H heads, d head size, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from janusflow.models.llm import LanguageModel


class Buffers(NamedTuple):
    """Keys and values of one block, (rows, key-value heads, positions, d) each."""

    keys: Tensor
    values: Tensor


def rotary(llm: LanguageModel, positions: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary embedding at ``positions`` (R, n): (R, n, d) each, of the type of ``like``."""
    return llm.causal_lm.model.rotary_emb(like, positions)


def cached_pass(
    llm: LanguageModel,
    embeds: Tensor,
    turns: tuple[Tensor, Tensor],
    mask: Tensor | None,
    cache: Sequence[Buffers],
    begin: int,
) -> Tensor:
    """Hidden states (R, n, D) after the final norm of embeddings (R, n, D).

    turns: cosines and sines of their positions (:func:`rotary`). mask: what is added to the attention's logits,
    (R, 1, n, K), or None where every query sees all keys. cache: of every block; the pass writes its own keys and
    values at ``begin`` and sees those in front. Where R is smaller than the cache's rows, the first of them are meant.
    """
    x = embeds
    block: Any
    for block, buffers in zip(llm.blocks, cache, strict=True):
        x = x + _attention(block.self_attn, _norm(block.input_layernorm, x), turns, mask, buffers, begin)
        h = _norm(block.post_attention_layernorm, x)
        x = x + block.mlp.down_proj(F.silu(block.mlp.gate_proj(h)) * block.mlp.up_proj(h))
    return _norm(llm.causal_lm.model.norm, x)


def _norm(norm: Any, x: Tensor) -> Tensor:
    return F.rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _attention(
    module: Any, x: Tensor, turns: tuple[Tensor, Tensor], mask: Tensor | None, buffers: Buffers, begin: int
) -> Tensor:
    rows, end = len(x), begin + x.shape[1]
    projections = (module.q_proj, module.k_proj, module.v_proj)
    query, key, value = (project(x).unflatten(-1, (-1, module.head_dim)).transpose(1, 2) for project in projections)
    query, key = apply_rotary_pos_emb(query, key, *turns)
    keys, values = (buffer[:rows, :, :end] for buffer in buffers)
    keys[:, :, begin:] = key
    values[:, :, begin:] = value
    grouped = query.shape[1] != keys.shape[1]
    seen = F.scaled_dot_product_attention(query, keys, values, mask, scale=module.scaling, enable_gqa=grouped)
    return module.o_proj(seen.transpose(1, 2).flatten(2))
