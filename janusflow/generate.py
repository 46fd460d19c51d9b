"""The engine: text to images, image and question to text. The command line, previews and scores all call it.

Legend: G images in a batch, R rows (G, or 2 G with guidance), P prompt length, N image tokens, D hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from janusflow.checkpoint import Bundle
from janusflow.data.transforms import to_images, understanding_pixels
from janusflow.models.flow_head import SamplingOptions
from janusflow.models.llm import LanguageModel
from janusflow.samplers import Progress


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
        self.prefix = [(layer.keys, layer.values) for layer in cache.layers]
        self.positions = torch.tensor(begins, device=device).view(-1, 1) + torch.arange(span, device=device)
        causal = torch.ones(span, span, dtype=torch.bool, device=device).tril()
        behind = real[:, None, None, :].expand(-1, 1, span, -1)
        self.mask = torch.cat([behind, causal.expand(len(ids), 1, -1, -1)], dim=-1)

    def __call__(self, embeds: Tensor) -> Tensor:
        """Hidden states (R, 1 + N, D) of span embeddings (R, 1 + N, D); the first rows are used where R is smaller."""
        rows = len(embeds)
        cache = self.llm.new_cache()
        for number, (keys, values) in enumerate(self.prefix):
            cache.update(keys[:rows], values[:rows], number)
        return self.llm(embeds, self.positions[:rows], self.mask[:rows], cache).hidden


@torch.inference_mode()
def generate_images(
    bundle: Bundle,
    prompts: Sequence[str],
    seeds: Sequence[int],
    options: SamplingOptions,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> list[Image.Image]:
    """One image for each prompt and seed. An image depends on its prompt, seed and options, not on its batch.

    ``progress(done, total)`` counts solver steps over all batches. Raises ``ValueError`` for prompts that do not fit
    the model, unequal numbers of prompts and seeds, or a batch size below 1.
    """
    if len(prompts) != len(seeds):
        raise ValueError(f"{len(prompts)} prompts need as many seeds, got {len(seeds)}")
    if batch_size < 1:
        raise ValueError(f"batch size must be at least 1, got {batch_size}")
    head, llm = bundle.model.head, bundle.model.llm
    tokens = [bundle.template.generation_prompt(prompt) for prompt in prompts]
    for prompt, ids in zip(prompts, tokens, strict=True):
        check_length(len(ids) + head.num_tokens, llm, f"the prompt {shorten(prompt)!r} with its image")
    device = llm.causal_lm.device
    batches = range(0, len(prompts), batch_size)
    images: list[Image.Image] = []
    for number, start in enumerate(batches):
        part = slice(start, start + batch_size)

        def report(done: int, steps: int, before: int = number) -> None:
            if progress is not None:
                progress(before * steps + done, len(batches) * steps)

        runner = PromptRunner(llm, tokens[part], 1 + head.num_tokens, guided=options.guidance != 1)
        noise = head.initial_noise(list(seeds[part]), device)
        latents = head.sample(runner, noise, options, report)
        images += to_images(bundle.codec.decode(latents))
    return images


@torch.inference_mode()
def answer_questions(
    bundle: Bundle,
    images: Sequence[Image.Image],
    questions: Sequence[str],
    batch_size: int = 32,
    max_new_tokens: int = 48,
) -> list[str]:
    """The greedy answer to one question about one image each.

    Raises ``ValueError`` for unequal numbers of images and questions, or questions that do not fit the model.
    """
    if len(images) != len(questions):
        raise ValueError(f"{len(images)} images need as many questions, got {len(questions)}")
    prompts = [bundle.template.question(question) for question in questions]
    for question, ids in zip(questions, prompts, strict=True):
        check_length(len(ids) + max_new_tokens, bundle.model.llm, f"the question {shorten(question)!r} with its answer")
    answers: list[str] = []
    for start in range(0, len(prompts), batch_size):
        part = slice(start, start + batch_size)
        size = bundle.model.config.vision.image_size
        pixels = torch.stack([understanding_pixels(image, size) for image in images[part]])
        answers += [
            bundle.tokenizer.decode(ids) for ids in _decode_greedily(bundle, prompts[part], pixels, max_new_tokens)
        ]
    return answers


def _decode_greedily(bundle: Bundle, prompts: list[list[int]], pixels: Tensor, max_new_tokens: int) -> list[list[int]]:
    """Answer ids of left-padded prompts with one image each."""
    llm, special = bundle.model.llm, bundle.tokenizer
    device = llm.causal_lm.device
    length = max(map(len, prompts))
    pads = [length - len(prompt) for prompt in prompts]
    ids = torch.tensor([[special.pad] * pad + prompt for pad, prompt in zip(pads, prompts, strict=True)], device=device)
    embeds = llm.embed(ids)
    image_slots = (ids == special.boi) | (ids == special.image)
    embeds[image_slots] = bundle.model.embed_understanding(pixels.to(device)).flatten(0, 1).to(embeds.dtype)

    index = torch.arange(length, device=device)
    begin = torch.tensor(pads, device=device).view(-1, 1)
    real = index >= begin
    # Padding looks at itself, so that no softmax is empty.
    mask = (real[:, None, None, :] & (index[:, None] >= index)) | torch.eye(length, dtype=torch.bool, device=device)
    positions = (index - begin).clamp(min=0)
    cache = llm.new_cache()
    hidden = llm(embeds, positions, mask, cache).hidden[:, -1]
    position = positions[:, -1:]
    answers: list[list[int]] = [[] for _ in prompts]
    open_rows = set(range(len(prompts)))
    for _ in range(max_new_tokens):
        token = llm.logits(hidden).argmax(-1)
        for row in list(open_rows):
            if int(token[row]) == special.eos:
                open_rows.remove(row)
            else:
                answers[row].append(int(token[row]))
        if not open_rows:
            break
        position = position + 1
        real = torch.cat([real, torch.ones_like(begin, dtype=torch.bool)], dim=1)
        hidden = llm(llm.embed(token.unsqueeze(1)), position, real[:, None, None, :], cache).hidden[:, -1]
    return answers


def check_length(positions: int, llm: LanguageModel, what: str) -> None:
    """Raise ``ValueError`` where ``what`` needs more positions than the model has."""
    limit = llm.config.max_positions
    if positions > limit:
        raise ValueError(f"{what} takes {positions} positions, more than the model's {limit}")


def shorten(text: str, length: int = 40) -> str:
    """``text``, cut for an error message."""
    return text if len(text) <= length else text[: length - 1] + "…"
