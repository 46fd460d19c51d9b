"""The LLM behind a batch of prompts, whose keys and values are computed once.

Legend: G prompts, R rows (G, and as many for each form of dropped prompts under guidance), P prefix length, N image
tokens, n tokens of one pass, D hidden size, d size of an attention head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from janusflow.models.llm import LanguageModel, Rotary
from janusflow.models.spans import placed

Embed = Callable[[Tensor], Tensor]  # ids (R, P) to embeddings (R, P, D), of prompts that show images


class Prefixes(NamedTuple):
    """What stands in front of the spans of R rows: the prompts, then their dropped forms where there is guidance."""

    ids: list[list[int]]
    begins: list[int]  # the span's first position, (R,)
    last: list[int]  # the prompt's last token, whose place is the span's first, (R,)

    @classmethod
    def of(
        cls,
        prompts: Sequence[list[int]],
        dropped: Sequence[list[int]] | None,
        begins: Sequence[int] | None = None,
    ) -> Prefixes:
        """Rows of ``prompts``, followed by those of the ``dropped`` ones; of several forms those of the first first.

        begins: where the spans behind the dropped ones begin; by default where they do behind the prompts.
        """
        ids = [*(prompt[:-1] for prompt in prompts), *(dropped or [])]
        times = 1 + len(dropped or ()) // max(len(prompts), 1)
        own = [len(prompt) - 1 for prompt in prompts]
        behind = [*own, *(own * (times - 1) if begins is None else begins)]
        return cls(ids, behind, [prompt[-1] for prompt in prompts] * times)

    def padded(self) -> tuple[Tensor, Tensor]:
        """Ids and whether they are real, both (R, P)."""
        length = max(map(len, self.ids))
        ids = torch.tensor([prefix + [0] * (length - len(prefix)) for prefix in self.ids])
        return ids, torch.arange(length) < torch.tensor([[len(prefix)] for prefix in self.ids])


class PromptRunner:
    """The LLM behind a batch of prompts: a :class:`janusflow.models.head.Span`.

    Row r continues ``prompts[r]``; under guidance the rows of ``dropped`` follow (what is left of each prompt, see
    :meth:`janusflow.data.template.ChatTemplate.dropped_prompt`, and then of each once more where they are dropped in
    two forms), with the span at the same positions or at ``begins``. ``sees_all``: the span's positions see each other
    fully. ``embed``: what turns ids into embeddings, where it is not the LLM alone. ``offsets``: the span's positions
    behind its first, (span,) or (span, 2) rows and columns (default: 0, 1, …).
    """

    def __init__(
        self,
        llm: LanguageModel,
        prompts: Sequence[list[int]],
        span: int,
        dropped: Sequence[list[int]] | None = None,
        sees_all: bool = False,
        embed: Embed | None = None,
        begins: Sequence[int] | None = None,
        offsets: Tensor | None = None,
    ) -> None:
        self.llm = llm
        device = llm.device
        prefixes = Prefixes.of(prompts, dropped, begins)
        ids, real = (values.to(device) for values in prefixes.padded())
        self.length = ids.shape[1]
        embeds = (embed or llm.embed)(ids)
        self.cache = llm.new_cache(len(ids), self.length + span, embeds.dtype)
        llm(embeds, torch.arange(self.length, device=device).expand(len(ids), -1), cache=self.cache)
        self.begin = llm.embed(torch.tensor(prefixes.last, device=device).unsqueeze(1))
        offsets = torch.arange(span) if offsets is None else offsets
        self.rotary = llm.rotary(placed(torch.tensor(prefixes.begins), offsets).to(device), self.begin.dtype)
        within = torch.ones(span, span, dtype=torch.bool, device=device)
        within = within if sees_all else within.tril()
        behind = real[:, None, None, :].expand(-1, 1, span, -1)
        visible = torch.cat([behind, within.expand(len(ids), 1, -1, -1)], dim=-1)
        self.mask = torch.zeros_like(visible, dtype=self.begin.dtype).masked_fill(~visible, float("-inf"))
        self.even = bool(real.all())  # then a single position sees all that is in front

    def __call__(self, embeds: Tensor, at: int = 0) -> Tensor:
        """Hidden states (R, n, D) of embeddings (R, n, D) at ``at`` of the span, behind what was put in front of it."""
        rows, end = len(embeds), at + embeds.shape[1]
        rotary = Rotary(*(values[:rows, at:end] for values in self.rotary))
        mask = None if self.even and end == at + 1 else self.mask[:rows, :, at:end, : self.length + end]
        embeds = embeds.to(self.begin.dtype)
        return self.llm(embeds, rotary, mask, self.cache, begin=self.length + at).hidden


class UncachedPromptRunner:
    """The naive twin of :class:`PromptRunner`: everything in front runs again in every pass, and nothing is kept."""

    def __init__(
        self,
        llm: LanguageModel,
        prompts: Sequence[list[int]],
        span: int,
        dropped: Sequence[list[int]] | None = None,
        sees_all: bool = False,
        embed: Embed | None = None,
        begins: Sequence[int] | None = None,
        offsets: Tensor | None = None,
    ) -> None:
        self.llm = llm
        device = llm.device
        prefixes = Prefixes.of(prompts, dropped, begins)
        ids, real = (values.to(device) for values in prefixes.padded())
        self.length = ids.shape[1]
        self.prefix = (embed or llm.embed)(ids)
        self.span = self.prefix.new_zeros(len(ids), span, self.prefix.shape[-1])
        self.begin = llm.embed(torch.tensor(prefixes.last, device=device).unsqueeze(1))
        spans = placed(torch.tensor(prefixes.begins), torch.arange(span) if offsets is None else offsets)
        words = torch.arange(self.length).view(1, -1, *[1] * (spans.dim() - 2))
        self.positions = torch.cat([words.expand(len(ids), -1, *spans.shape[2:]), spans], dim=1).to(device)
        size = self.length + span
        seen = torch.cat([real, torch.ones(len(ids), span, dtype=torch.bool, device=device)], dim=1)
        causal = torch.ones(size, size, dtype=torch.bool, device=device).tril()
        causal[self.length :, self.length :] |= sees_all
        self.mask = seen[:, None, None, :] & causal | torch.eye(size, dtype=torch.bool, device=device)

    def __call__(self, embeds: Tensor, at: int = 0) -> Tensor:
        """As :meth:`PromptRunner.__call__`."""
        rows, end = len(embeds), at + embeds.shape[1]
        self.span[:rows, at:end] = embeds
        sequence = torch.cat([self.prefix, self.span[:, :end]], dim=1)[:rows]
        end += self.length
        return self.llm(sequence, self.positions[:rows, :end], self.mask[:rows, :, :end, :end]).hidden[
            :, self.length + at :
        ]
