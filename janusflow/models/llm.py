"""The language model: a Llama that takes embeddings and gives hidden states.

Legend: B rows, L positions in a row, D hidden size, V vocabulary, H heads, K key positions (cache included).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Cache, DynamicCache, LlamaConfig, LlamaForCausalLM

from janusflow.models.attention import ATTENTION, has_varlen_kernel, sample_boundaries, sample_mask
from janusflow.models.sizes import check_positive, check_whole
from janusflow.precision import matmul_dtype
from janusflow.repa import FeatureTap


@dataclass
class LLMConfig:
    """Sizes of the Llama. The defaults are JanusFlow-1.3B's (DeepSeek-LLM 1.3B)."""

    vocab_size: int = 102_400
    hidden_size: int = 2048
    intermediate_size: int = 5632
    num_layers: int = 24
    num_heads: int = 16
    num_kv_heads: int = 16
    max_positions: int = 16_384
    rope_theta: float = 10_000.0
    rms_norm_eps: float = 1e-6
    qk_norm: bool = False  # RMSNorm of each head's queries and keys before the rotary embedding (Chameleon, Sec. 2.3)

    def __post_init__(self) -> None:
        check_whole(self, "llm", "vocab_size", "hidden_size", "intermediate_size", "num_layers")
        check_whole(self, "llm", "num_heads", "num_kv_heads", "max_positions")
        check_positive(self, "llm", "rope_theta", "rms_norm_eps")
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}")
        if (self.hidden_size // self.num_heads) % 2:
            raise ValueError(f"head size {self.hidden_size // self.num_heads} must be even for rotary positions")
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}")


class LLMOutput(NamedTuple):
    """``hidden`` (B, L, D) after the final norm; ``tapped`` (B, L, D) after the tapped block, or None."""

    hidden: Tensor
    tapped: Tensor | None


class HeadNormLinear(nn.Linear):
    """A projection without bias whose output is normalised head by head; ``norm`` (d,) is the learned scale."""

    def __init__(self, projection: nn.Linear, head_size: int, eps: float) -> None:
        super().__init__(projection.in_features, projection.out_features, bias=False)
        self.weight = projection.weight
        self.norm = nn.Parameter(torch.ones(head_size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        heads = super().forward(x).unflatten(-1, (-1, len(self.norm)))
        return F.rms_norm(heads, self.norm.shape, self.norm.to(heads.dtype), self.eps).flatten(-2)


class LanguageModel(nn.Module):
    """Llama with untied word embeddings, driven by embeddings.

    Attention is causal over the row, or as ``mask`` or ``segments`` say. Positions are always given: they may have
    gaps.
    """

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.config = config
        self.causal_lm = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=config.vocab_size,
                hidden_size=config.hidden_size,
                intermediate_size=config.intermediate_size,
                num_hidden_layers=config.num_layers,
                num_attention_heads=config.num_heads,
                num_key_value_heads=config.num_kv_heads,
                max_position_embeddings=config.max_positions,
                rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
                rms_norm_eps=config.rms_norm_eps,
                tie_word_embeddings=False,
                attn_implementation=ATTENTION,
                pad_token_id=None,
                bos_token_id=None,
                eos_token_id=None,
            )
        )

        if config.qk_norm:
            head_size = config.hidden_size // config.num_heads
            for block in self.blocks:
                for name in ("q_proj", "k_proj"):
                    projection = getattr(block.self_attn, name)
                    setattr(block.self_attn, name, HeadNormLinear(projection, head_size, config.rms_norm_eps))

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer blocks, first to last."""
        return self.causal_lm.model.layers

    def embed(self, ids: Tensor) -> Tensor:
        """Word embeddings of ``ids``: (...,) -> (..., D)."""
        return self.causal_lm.model.embed_tokens(ids)

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits: (..., D) -> (..., V)."""
        return self.causal_lm.lm_head(hidden)

    def forward(
        self,
        embeds: Tensor,
        positions: Tensor,
        mask: Tensor | None = None,
        cache: Cache | None = None,
        tap: int | None = None,
        segments: Tensor | None = None,
    ) -> LLMOutput:
        """Run the blocks.

        embeds: (B, L, D). positions: (B, L) integer positions for the rotary embedding.
        mask: (B, 1, L, K) boolean, True where a query may look; None means causal (only without a filled cache).
        cache: keys and values of earlier positions; extended in place.
        tap: also return the features after block number ``tap`` (1-based), as REPA needs them.
        segments: (B, L) numbers of the samples that share a row and do not see each other; in the place of a mask.
        """
        if tap is not None and not 1 <= tap <= len(self.blocks):
            raise ValueError(f"tap {tap} is not a block number of 1..{len(self.blocks)}")
        assert segments is None or (mask is None and cache is None), "segments stand in the place of mask and cache"
        packing = {}
        if segments is not None and has_varlen_kernel(embeds.device, matmul_dtype(embeds)):
            packing["boundaries"] = sample_boundaries(segments)
        elif segments is not None:
            mask = sample_mask(segments)
        with FeatureTap(self.blocks[tap - 1]) if tap is not None else nullcontext() as tapped:
            output = self.causal_lm.model(
                inputs_embeds=embeds,
                position_ids=positions,
                attention_mask=mask,
                past_key_values=cache,
                use_cache=cache is not None,
                **packing,
            )
        return LLMOutput(output.last_hidden_state, None if tapped is None else tapped.features)

    def new_cache(self) -> DynamicCache:
        """An empty cache of keys and values for :meth:`forward`."""
        return DynamicCache(config=self.causal_lm.config)
