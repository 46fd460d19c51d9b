"""The LLM behind a batch of prompts, whose keys and values are computed once.

Legend: G prompts, R rows (G, or 2 G with guidance), P prefix length, N image tokens, n tokens of one pass, D hidden
size, d size of an attention head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache

from janusflow.models.llm import LanguageModel


class SpanCache(DynamicCache):
    """Keys and values of the prompts in buffers that have room for the span behind them.

    A pass writes its own at :attr:`at` of the span and sees what stands in front; what stands behind is forgotten.
    """

    def __init__(self, prompts: DynamicCache, span: int) -> None:
        super().__init__()
        self.length = prompts.get_seq_length()
        self.at = 0
        self.buffers = []
        for layer in prompts.layers:
            assert layer.keys is not None and layer.values is not None
            pair = [layer.keys, layer.values]
            self.buffers.append([F.pad(states, (0, 0, 0, span)) for states in pair])  # along the positions

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """All keys and values (R, heads, P + at + n, d) of a layer, with the given (R, heads, n, d) in place.

        Where R is smaller than the number of prompts, the first of them are meant.
        """
        begin = self.length + self.at
        end = begin + keys.shape[2]
        whole = [buffer[: len(keys), :, :end] for buffer in self.buffers[layer]]
        for buffer, states in zip(whole, (keys, values), strict=True):
            buffer[:, :, begin:] = states
        return whole[0], whole[1]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions in front of a pass."""
        return self.length + self.at


class Prefixes(NamedTuple):
    """What stands in front of the spans of R rows: the prompts, then their dropped forms where there is guidance."""

    ids: list[list[int]]
    begins: list[int]  # the span's first position, (R,)
    last: list[int]  # the prompt's last token, whose place is the span's first, (R,)

    @classmethod
    def of(cls, prompts: Sequence[list[int]], dropped: Sequence[list[int]] | None) -> Prefixes:
        """Rows of ``prompts``, followed by those of the ``dropped`` ones, which keep the prompts' positions."""
        ids = [*(prompt[:-1] for prompt in prompts), *(dropped or [])]
        times = 1 if dropped is None else 2
        return cls(ids, [len(prompt) - 1 for prompt in prompts] * times, [prompt[-1] for prompt in prompts] * times)

    def padded(self) -> tuple[Tensor, Tensor]:
        """Ids and whether they are real, both (R, P)."""
        length = max(map(len, self.ids))
        ids = torch.tensor([prefix + [0] * (length - len(prefix)) for prefix in self.ids])
        return ids, torch.arange(length) < torch.tensor([[len(prefix)] for prefix in self.ids])


class PromptRunner:
    """The LLM behind a batch of prompts: a :class:`janusflow.models.head.Span`.

    Row r continues ``prompts[r]``; under guidance the rows of ``dropped`` follow (what is left of each prompt, see
    :meth:`janusflow.data.template.ChatTemplate.dropped_prompt`), with the span at the same positions.
    """

    def __init__(
        self, llm: LanguageModel, prompts: Sequence[list[int]], span: int, dropped: Sequence[list[int]] | None = None
    ) -> None:
        self.llm = llm
        device = llm.causal_lm.device
        prefixes = Prefixes.of(prompts, dropped)
        ids, real = (values.to(device) for values in prefixes.padded())
        cache = llm.new_cache()
        llm(llm.embed(ids), torch.arange(ids.shape[1], device=device).expand(len(ids), -1), cache=cache)
        self.cache = SpanCache(cache, span)
        self.begin = llm.embed(torch.tensor(prefixes.last, device=device).unsqueeze(1))
        self.positions = torch.tensor(prefixes.begins, device=device).view(-1, 1) + torch.arange(span, device=device)
        causal = torch.ones(span, span, dtype=torch.bool, device=device).tril()
        behind = real[:, None, None, :].expand(-1, 1, span, -1)
        self.mask = torch.cat([behind, causal.expand(len(ids), 1, -1, -1)], dim=-1)

    def __call__(self, embeds: Tensor, at: int = 0) -> Tensor:
        """Hidden states (R, n, D) of embeddings (R, n, D) at ``at`` of the span, behind what was put in front of it."""
        rows, end = len(embeds), at + embeds.shape[1]
        self.cache.at = at
        mask = self.mask[:rows, :, at:end, : self.cache.length + end]
        return self.llm(embeds, self.positions[:rows, at:end], mask, self.cache).hidden


class UncachedPromptRunner:
    """The naive twin of :class:`PromptRunner`: everything in front runs again in every pass, and nothing is kept."""

    def __init__(
        self, llm: LanguageModel, prompts: Sequence[list[int]], span: int, dropped: Sequence[list[int]] | None = None
    ) -> None:
        self.llm = llm
        device = llm.causal_lm.device
        prefixes = Prefixes.of(prompts, dropped)
        ids, real = (values.to(device) for values in prefixes.padded())
        self.length = ids.shape[1]
        self.sequence = llm.embed(ids)
        self.begin = llm.embed(torch.tensor(prefixes.last, device=device).unsqueeze(1))
        positions = [[*range(self.length), *range(begin, begin + span)] for begin in prefixes.begins]
        self.positions = torch.tensor(positions, device=device)
        size = self.length + span
        seen = torch.cat([real, torch.ones(len(ids), span, dtype=torch.bool, device=device)], dim=1)
        causal = torch.ones(size, size, dtype=torch.bool, device=device).tril()
        self.mask = seen[:, None, None, :] & causal | torch.eye(size, dtype=torch.bool, device=device)

    def __call__(self, embeds: Tensor, at: int = 0) -> Tensor:
        """As :meth:`PromptRunner.__call__`."""
        rows, start = len(embeds), self.length + at
        self.sequence = torch.cat([self.sequence[:rows, :start], embeds.to(self.sequence.dtype)], dim=1)
        end = self.sequence.shape[1]
        return self.llm(self.sequence, self.positions[:rows, :end], self.mask[:rows, :, :end, :end]).hidden[:, start:]
