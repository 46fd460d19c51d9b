"""The language model: a Llama that takes embeddings and gives hidden states.

One forward serves training (packed rows, tapped for REPA) and generation (keys and values kept in buffers). Parameters
bear the names of transformers' ``LlamaForCausalLM``, which ``tests/parity`` compares with.

Legend: B rows, L positions of a pass, K key positions (earlier ones included), H heads, d head size, D hidden size,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janusflow.models.attention import Visible, attend, visible_in_segments
from janusflow.models.norm import RMSNorm
from janusflow.models.sizes import check_positive, check_whole
from janusflow.models.spans import ImagePositions

INITIAL_STD = 0.02  # of new weights


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
    image_positions: ImagePositions = "raster"  # of drawn images (see models.spans)

    def __post_init__(self) -> None:
        check_whole(self, "llm", "vocab_size", "hidden_size", "intermediate_size", "num_layers")
        check_whole(self, "llm", "num_heads", "num_kv_heads", "max_positions")
        check_positive(self, "llm", "rope_theta", "rms_norm_eps")
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is not a multiple of num_heads {self.num_heads}")
        if self.head_size % 2:
            raise ValueError(f"head size {self.head_size} must be even for rotary positions")
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}")

    @property
    def head_size(self) -> int:
        """d, the width of an attention head."""
        return self.hidden_size // self.num_heads


class LLMOutput(NamedTuple):
    """``hidden`` (B, L, D) after the final norm; ``tapped`` (B, L, D) after each block that was tapped."""

    hidden: Tensor
    tapped: dict[int, Tensor]


class Rotary(NamedTuple):
    """Cosines and sines of the rotary embedding at some positions, (B, L, d) each."""

    cos: Tensor
    sin: Tensor

    def turn(self, heads: Tensor) -> Tensor:
        """Queries or keys (B, H, L, d), turned."""
        first, second = heads.chunk(2, dim=-1)
        return heads * self.cos.unsqueeze(1) + torch.cat([-second, first], dim=-1) * self.sin.unsqueeze(1)


class KeyValues(NamedTuple):
    """Keys and values of one block in buffers of known length, (rows, H_kv, K, d) each; a pass writes at ``begin``."""

    keys: Tensor
    values: Tensor

    def write(self, keys: Tensor, values: Tensor, begin: int) -> tuple[Tensor, Tensor]:
        """Store those of L positions from ``begin`` on; returns all up to their end, for the first B rows."""
        rows, _, length, _ = keys.shape
        end = begin + length
        for buffer, new in ((self.keys, keys), (self.values, values)):
            buffer[:rows, :, begin:end] = new
        return self.keys[:rows, :, :end], self.values[:rows, :, :end]


class HeadNormLinear(nn.Linear):
    """A projection without bias whose output is normalised head by head; ``norm`` (d,) is the learned scale."""

    def __init__(self, in_features: int, out_features: int, head_size: int, eps: float) -> None:
        super().__init__(in_features, out_features, bias=False)
        self.norm = nn.Parameter(torch.ones(head_size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        heads = super().forward(x).unflatten(-1, (-1, len(self.norm)))
        return F.rms_norm(heads, self.norm.shape, self.norm.to(heads.dtype), self.eps).flatten(-2)


class Attention(nn.Module):
    """Causal self-attention with rotary positions and grouped keys and values."""

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        size, self.head_size = config.hidden_size, config.head_size
        self.q_proj = self._projection(config, config.num_heads)
        self.k_proj = self._projection(config, config.num_kv_heads)
        self.v_proj = nn.Linear(size, config.num_kv_heads * self.head_size, bias=False)
        self.o_proj = nn.Linear(size, size, bias=False)

    def forward(self, x: Tensor, rotary: Rotary, visible: Visible, cache: KeyValues | None, begin: int) -> Tensor:
        projections = (self.q_proj, self.k_proj, self.v_proj)
        query, key, value = (project(x).unflatten(-1, (-1, self.head_size)).transpose(1, 2) for project in projections)
        query, key = rotary.turn(query), rotary.turn(key)
        if cache is not None:
            key, value = cache.write(key, value, begin)
        return self.o_proj(attend(query, key, value, visible).flatten(2))

    @staticmethod
    def _projection(config: LLMConfig, heads: int) -> nn.Linear:
        width = heads * config.head_size
        if config.qk_norm:
            return HeadNormLinear(config.hidden_size, width, config.head_size, config.rms_norm_eps)
        return nn.Linear(config.hidden_size, width, bias=False)


class GatedMLP(nn.Module):
    """SwiGLU: (B, L, D) -> (B, L, D)."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(size, width, bias=False)
        self.up_proj = nn.Linear(size, width, bias=False)
        self.down_proj = nn.Linear(width, size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """Attention and MLP, each behind a norm and beside a residual."""

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = GatedMLP(config.hidden_size, config.intermediate_size)
        self.input_layernorm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(self, x: Tensor, rotary: Rotary, visible: Visible, cache: KeyValues | None, begin: int) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotary, visible, cache, begin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Trunk(nn.Module):
    """Word embeddings, blocks and the final norm."""

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([Block(config) for _ in range(config.num_layers)])
        self.norm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.apply(initialize)


class CausalLM(nn.Module):
    """The trunk and the vocabulary's head, which has weights of its own. Named as in transformers."""

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.model = Trunk(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.lm_head.apply(initialize)


class LanguageModel(nn.Module):
    """Llama with untied word embeddings, driven by embeddings.

    Attention is causal over the row, or as ``mask`` or ``segments`` say. Positions are always given: they may have
    gaps.
    """

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.config = config
        self.causal_lm = CausalLM(config)
        steps = torch.arange(0, config.head_size, 2, dtype=torch.float32, device="cpu") / config.head_size
        # No buffer: whatever type or device (the meta device too) the weights have, the frequencies stay in fp32.
        self.frequencies = 1.0 / config.rope_theta**steps

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer blocks, first to last."""
        return self.causal_lm.model.layers

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.causal_lm.lm_head.weight.device

    def embed(self, ids: Tensor) -> Tensor:
        """Word embeddings of ``ids``: (...,) -> (..., D)."""
        return self.causal_lm.model.embed_tokens(ids)

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits: (..., D) -> (..., V)."""
        return self.causal_lm.lm_head(hidden)

    def rotary(self, positions: Tensor, dtype: torch.dtype) -> Rotary:
        """The rotary embedding at ``positions``, computed in fp32, given in ``dtype``.

        positions: (B, L) integers; or (B, L, 2) rows and columns, of which every other pair of channels turns with the
        row and the others with the column. Where both are the same, so is what comes.
        """
        self.frequencies = self.frequencies.to(positions.device)
        if positions.dim() == 3:
            angles = positions.float()[..., torch.arange(len(self.frequencies)) % 2] * self.frequencies
        else:
            angles = positions.unsqueeze(-1).float() * self.frequencies
        angles = torch.cat([angles, angles], dim=-1)
        return Rotary(angles.cos().to(dtype), angles.sin().to(dtype))

    def forward(
        self,
        embeds: Tensor,
        positions: Tensor | Rotary,
        mask: Tensor | None = None,
        cache: list[KeyValues] | None = None,
        taps: Collection[int] = (),
        segments: Tensor | None = None,
        groups: Tensor | None = None,
        begin: int = 0,
    ) -> LLMOutput:
        """Run the blocks.

        embeds: (B, L, D). positions: (B, L) or (B, L, 2), for the rotary embedding, or what :meth:`rotary` makes of
        them.
        mask: (B, 1, L, K), boolean, True where a query may look, or what is added to attention's logits; None means
        causal, or for a single query all keys.
        cache: buffers of every block (:meth:`new_cache`). The pass writes its keys and values at ``begin`` and sees
        those in front. Where they have more than B rows, the first are meant.
        taps: also return the features after these blocks, numbered from 1, as REPA needs them.
        segments: (B, L) numbers of the samples that share a row and do not see each other; in the place of a mask.
        groups: (B, L) numbers of positions that see each other fully within their sample, such as an image's; 0: none.
        """
        assert segments is None or (mask is None and cache is None), "segments stand in the place of mask and cache"
        visible = Visible(mask) if segments is None else visible_in_segments(segments, embeds, groups)
        rotary = positions if isinstance(positions, Rotary) else self.rotary(positions, embeds.dtype)
        x, tapped = embeds, {}
        for number, block in enumerate(self.blocks):
            x = block(x, rotary, visible, None if cache is None else cache[number], begin)
            if number + 1 in taps:
                tapped[number + 1] = x
        return LLMOutput(self.causal_lm.model.norm(x), tapped)

    def new_cache(self, rows: int, length: int, dtype: torch.dtype) -> list[KeyValues]:
        """Empty buffers of keys and values of every block for ``rows`` rows of at most ``length`` positions."""
        shape = (rows, self.config.num_kv_heads, length, self.config.head_size)

        def empty() -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=self.device)

        return [KeyValues(empty(), empty()) for _ in self.blocks]


def initialize(module: nn.Module) -> None:
    """Initial values of linear layers and embeddings: normal, as in the Llama models."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INITIAL_STD)
