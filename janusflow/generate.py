"""Text to images. The command line, previews and scores all call it; :mod:`janusflow.answer` is its counterpart.

Legend: G images in a batch, R rows (G, or 2 G with guidance), P prompt length, N image tokens, D hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from transformers import DynamicCache

from janusflow.checkpoint import Bundle
from janusflow.data.transforms import to_images
from janusflow.models.flow_head import SamplingOptions
from janusflow.models.llm import LanguageModel
from janusflow.samplers import Progress


class PromptCache(DynamicCache):
    """Keys and values of the prompts, with room behind them that every pass of the span overwrites."""

    def __init__(self, prompts: DynamicCache, span: int) -> None:
        super().__init__()
        self.length = prompts.get_seq_length()
        self.buffers = []
        for layer in prompts.layers:
            assert layer.keys is not None and layer.values is not None
            pair = [layer.keys, layer.values]
            self.buffers.append([F.pad(states, (0, 0, 0, span)) for states in pair])  # along the positions

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """All keys and values (R, heads, P + span, d) of a layer, with those of the span (R, heads, span, d) in place.

        Where R is smaller than the number of prompts, the first of them are meant.
        """
        whole = [buffer[: len(keys)] for buffer in self.buffers[layer]]
        for buffer, states in zip(whole, (keys, values), strict=True):
            buffer[:, :, self.length :] = states
        return whole[0], whole[1]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions of the prompts."""
        return self.length


class PromptRunner:
    """The LLM behind a batch of prompts, whose keys and values are computed once.

    Row r continues ``prompts[r]``; the unconditional rows of guidance follow: only the prompt's first token, with the
    image span where it stands in the conditional row (positions are not renumbered).
    """

    def __init__(self, llm: LanguageModel, prompts: Sequence[list[int]], span: int, guided: bool) -> None:
        self.llm = llm
        device = llm.causal_lm.device
        prefixes = [prompt[:-1] for prompt in prompts]  # the last token's place belongs to the span
        begins = [len(prefix) for prefix in prefixes]
        if guided:
            prefixes += [prompt[:1] for prompt in prompts]
            begins += begins
        length = max(map(len, prefixes))
        ids = torch.tensor([prefix + [0] * (length - len(prefix)) for prefix in prefixes], device=device)
        real = torch.arange(length, device=device) < torch.tensor([[len(prefix)] for prefix in prefixes], device=device)
        cache = llm.new_cache()
        llm(llm.embed(ids), torch.arange(length, device=device).expand(len(ids), -1), cache=cache)
        self.cache = PromptCache(cache, span)
        self.positions = torch.tensor(begins, device=device).view(-1, 1) + torch.arange(span, device=device)
        causal = torch.ones(span, span, dtype=torch.bool, device=device).tril()
        behind = real[:, None, None, :].expand(-1, 1, span, -1)
        self.mask = torch.cat([behind, causal.expand(len(ids), 1, -1, -1)], dim=-1)

    def __call__(self, embeds: Tensor) -> Tensor:
        """Hidden states (R, 1 + N, D) of span embeddings (R, 1 + N, D); the first rows are used where R is smaller."""
        rows = len(embeds)
        return self.llm(embeds, self.positions[:rows], self.mask[:rows], self.cache).hidden


class UncachedPromptRunner:
    """The naive twin of :class:`PromptRunner`: the prompts run again with every span, and nothing is kept."""

    def __init__(self, llm: LanguageModel, prompts: Sequence[list[int]], span: int, guided: bool) -> None:
        self.llm = llm
        device = llm.causal_lm.device
        kept = [(prompt[:-1], len(prompt) - 1) for prompt in prompts]
        if guided:
            kept += [(prompt[:1], len(prompt) - 1) for prompt in prompts]
        self.length = max(len(prefix) for prefix, _ in kept)
        ids = torch.tensor([prefix + [0] * (self.length - len(prefix)) for prefix, _ in kept], device=device)
        self.prefix = llm.embed(ids)
        positions = [[*range(self.length), *range(begin, begin + span)] for _, begin in kept]
        self.positions = torch.tensor(positions, device=device)
        real = torch.tensor(
            [[k < len(prefix) or k >= self.length for k in range(self.length + span)] for prefix, _ in kept]
        )
        causal = torch.ones(self.length + span, self.length + span, dtype=torch.bool).tril()
        self.mask = (real[:, None, None, :] & causal | torch.eye(len(causal), dtype=torch.bool)).to(device)

    def __call__(self, embeds: Tensor) -> Tensor:
        """As :meth:`PromptRunner.__call__`."""
        rows = len(embeds)
        sequence = torch.cat([self.prefix[:rows], embeds.to(self.prefix.dtype)], dim=1)
        return self.llm(sequence, self.positions[:rows], self.mask[:rows]).hidden[:, self.length :]


def generate_images(
    bundle: Bundle,
    prompts: Sequence[str],
    seeds: Sequence[int],
    options: SamplingOptions,
    batch_size: int = 16,
    progress: Progress | None = None,
    memory_gib: float | None = None,
) -> list[Image.Image]:
    """One image for each prompt and seed. An image depends on its prompt, seed and options, not on its batch.

    batch_size: images computed together at most; ``memory_gib`` may lower it (see :func:`largest_batch`).
    progress: ``progress(done, total)`` counts solver steps over all batches.
    Raises ``ValueError`` for prompts that do not fit the model, unequal numbers of prompts and seeds, a batch size
    below 1, impossible options, or a model without VAE.
    """
    codec = bundle.required_codec
    images: list[Image.Image] = []
    for latents in sample_latents(bundle, prompts, seeds, options, batch_size, progress, memory_gib):
        for one in latents.split(1):  # a VAE takes more memory than the latents' batch
            images += to_images(codec.decode(one))
    return images


@torch.inference_mode()
def sample_latents(
    bundle: Bundle,
    prompts: Sequence[str],
    seeds: Sequence[int],
    options: SamplingOptions,
    batch_size: int = 16,
    progress: Progress | None = None,
    memory_gib: float | None = None,
) -> Iterator[Tensor]:
    """The latents (G, C, S, S) in fp32 behind :func:`generate_images`, batch after batch; same arguments and errors."""
    options.check()
    if len(prompts) != len(seeds):
        raise ValueError(f"{len(prompts)} prompts need as many seeds, got {len(seeds)}")
    if batch_size < 1:
        raise ValueError(f"batch size must be at least 1, got {batch_size}")
    head, llm = bundle.model.head, bundle.model.llm
    tokens = [bundle.template.generation_prompt(prompt) for prompt in prompts]
    for prompt, ids in zip(prompts, tokens, strict=True):
        check_length(len(ids) + head.num_tokens, llm, f"the prompt {shorten(prompt)!r} with its image")
    if memory_gib is not None and tokens:
        batch_size = min(batch_size, largest_batch(bundle, max(map(len, tokens)), options, memory_gib))
    device = llm.causal_lm.device
    batches = range(0, len(prompts), batch_size)
    for number, start in enumerate(batches):
        part = slice(start, start + batch_size)

        def report(done: int, steps: int, before: int = number) -> None:
            if progress is not None:
                progress(before * steps + done, len(batches) * steps)

        runner = PromptRunner(llm, tokens[part], 1 + head.num_tokens, guided=options.guidance != 1)
        noise = head.initial_noise(list(seeds[part]), device)
        yield head.sample(runner, noise, options, report)


def largest_batch(bundle: Bundle, prompt_length: int, options: SamplingOptions, memory_gib: float) -> int:
    """How many images fit into ``memory_gib`` beside the weights, by an estimate that leans to too few; at least 1.

    An image's share: the keys and values of its rows in all blocks, the widest activations of one block, and the
    decoder's ConvNeXt activations.
    """
    llm, head = bundle.model.config.llm, bundle.model.config.flow_head
    size = next(bundle.model.parameters()).element_size()
    length = prompt_length + 1 + bundle.model.head.num_tokens
    key_width = llm.num_kv_heads * llm.hidden_size // llm.num_heads
    cache = 2 * llm.num_layers * key_width * length * size
    activations = (4 * llm.intermediate_size + 8 * llm.hidden_size) * length * size
    convolutions = 3 * 8 * head.width * bundle.model.head.num_tokens * 4
    rows = 1 if options.guidance == 1 else 2
    share = rows * (cache + activations + convolutions)
    return max(1, int(memory_gib * 2**30 / share))


def check_length(positions: int, llm: LanguageModel, what: str) -> None:
    """Raise ``ValueError`` where ``what`` needs more positions than the model has."""
    limit = llm.config.max_positions
    if positions > limit:
        raise ValueError(f"{what} takes {positions} positions, more than the model's {limit}")


def shorten(text: str, length: int = 40) -> str:
    """``text``, cut for an error message."""
    return text if len(text) <= length else text[: length - 1] + "…"
