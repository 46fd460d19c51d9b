"""Images and text to text: batches of conversations, greedy or sampled, whole or as a stream.

Legend: B conversations, L prompt length, N image tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from PIL import Image

from janusflow.checkpoints.pretrained import Bundle
from janusflow.decoding import check_decoding, check_finite, choose
from janusflow.inference.images import check_length, embed_prompts, shorten
from janusflow.worlds.notes import note_foreign

UNFINISHED = "\ufffd"  # what the first bytes of a character decode to


class Conversation(NamedTuple):
    """Images, which stand in front of the first question, and (question, answer) turns, the last one unanswered."""

    images: Sequence[Image.Image]
    turns: Sequence[tuple[str, str | None]]
    system: str | None = None  # system prompt; None: the checkpoint's own, empty: none


class DecodingOptions(NamedTuple):
    """How answers are written."""

    max_new_tokens: int = 48
    temperature: float = 0.0  # 0: greedy
    top_p: float = 1.0  # sample from the fewest tokens that hold this probability
    stop: tuple[str, ...] = ()  # an answer ends before the first of these

    def check(self) -> DecodingOptions:
        """Self. Raises ``ValueError`` with the value where an option is impossible."""
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        check_decoding(self.temperature, None, self.top_p)
        if "" in self.stop:
            raise ValueError("a stop text is empty")
        return self


GREEDY = DecodingOptions()


def answer_questions(
    bundle: Bundle,
    images: Sequence[Image.Image],
    questions: Sequence[str],
    batch_size: int = 32,
    options: DecodingOptions = GREEDY,
    system: str | None = None,
) -> list[str]:
    """The answer to one question about one image each, behind a system prompt (None: the checkpoint's own).

    Raises ``ValueError`` as :func:`answer` does.
    """
    if len(images) != len(questions):
        raise ValueError(f"{len(images)} images need as many questions, got {len(questions)}")
    talks = [Conversation([image], [(text, None)], system) for image, text in zip(images, questions, strict=True)]
    return answer(bundle, talks, options, batch_size)


@torch.inference_mode()
def answer(
    bundle: Bundle,
    conversations: Sequence[Conversation],
    options: DecodingOptions = GREEDY,
    batch_size: int = 32,
    seeds: Sequence[int] | None = None,
) -> list[str]:
    """The next answer in each conversation. It depends on its conversation, its seed (default 0) and the options.

    Raises ``ValueError`` for a conversation without an open question or one that does not fit the model, an unequal
    number of seeds, and impossible options.
    """
    seeds = [0] * len(conversations) if seeds is None else seeds
    if batch_size < 1:
        raise ValueError(f"batch size must be at least 1, got {batch_size}")
    if len(seeds) != len(conversations):
        raise ValueError(f"{len(conversations)} conversations need as many seeds, got {len(seeds)}")
    for conversation in conversations:  # before the first batch: all or none is answered
        tokenize(bundle, conversation, options.check())
    answers: list[str] = []
    for start in range(0, len(conversations), batch_size):
        part = slice(start, start + batch_size)
        rows = [Answer(bundle, options) for _ in conversations[part]]
        for _ in write(bundle, conversations[part], options, seeds[part], rows):
            pass
        answers += [row.text for row in rows]
    return answers


def stream(
    bundle: Bundle, conversation: Conversation, options: DecodingOptions = GREEDY, seed: int = 0
) -> Iterator[str]:
    """The next answer in pieces, as soon as each is certain; joined, they are what :func:`answer` returns."""
    row = Answer(bundle, options.check())
    for _ in write(bundle, [conversation], options, [seed], [row]):
        if piece := row.news():
            yield piece
    if piece := row.news(last=True):
        yield piece


@torch.inference_mode()
def write(
    bundle: Bundle,
    conversations: Sequence[Conversation],
    options: DecodingOptions,
    seeds: Sequence[int],
    rows: Sequence[Answer],
) -> Iterator[None]:
    """Let ``rows``, an empty answer for each conversation, grow together, a token each at a time, until all are done.

    An answer that somebody else calls done grows no more. Raises ``ValueError`` as :func:`answer`.
    """
    prompts = [tokenize(bundle, conversation, options) for conversation in conversations]
    for conversation in conversations:
        note_foreign(bundle, [conversation.turns[-1][0]], conversation.images)
    for tokens in decode(bundle, prompts, conversations, options, seeds, rows):
        for row, token in zip(rows, tokens, strict=True):
            row.add(token)
        yield


class Answer:
    """One answer as it grows."""

    def __init__(self, bundle: Bundle, options: DecodingOptions) -> None:
        self.tokenizer, self.stop = bundle.tokenizer, options.stop
        self.ids: list[int] = []
        self.text = ""
        self.done = False
        self.told = 0  # characters that news() gave

    def add(self, token: int) -> None:
        """Take the next token, unless the answer has ended; end it at end-of-sentence or a stop text."""
        if self.done:
            return
        if token == self.tokenizer.eos:
            self.done = True
            return
        self.ids.append(token)
        self.text = self.tokenizer.decode(self.ids)
        ends = [self.text.index(stop) for stop in self.stop if stop in self.text]
        if ends:
            self.text = self.text[: min(ends)].rstrip()
            self.done = True

    @property
    def certain(self) -> str:
        """What no later token can change: without an unfinished character, trailing blanks or the start of a stop."""
        if self.done:
            return self.text
        text = self.text.rstrip(UNFINISHED)
        held = max((n for stop in self.stop for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)
        return text[: len(text) - held].rstrip()

    def news(self, last: bool = False) -> str:
        """What became certain since the last call; with ``last`` all that is left."""
        text = self.text if last else self.certain
        new, self.told = text[self.told :], max(self.told, len(text))
        return new


def tokenize(bundle: Bundle, conversation: Conversation, options: DecodingOptions) -> list[int]:
    """The prompt's ids, which end with the assistant's role."""
    turns = list(conversation.turns)
    if not turns or turns[-1][1] is not None or any(reply is None for _, reply in turns[:-1]):
        raise ValueError("a conversation needs answered turns and, at its end, one question without an answer")
    ids = bundle.template.conversation(turns, len(conversation.images), conversation.system).ids
    what = f"the question {shorten(turns[-1][0])!r} with its answer"
    check_length(len(ids) + options.max_new_tokens, bundle.model.llm, what)
    return ids


def decode(
    bundle: Bundle,
    prompts: Sequence[list[int]],
    conversations: Sequence[Conversation],
    options: DecodingOptions,
    seeds: Sequence[int],
    rows: Sequence[Answer],
) -> Iterator[list[int]]:
    """Tokens of all answers, one of each at a time, until every one of ``rows`` is done or has its length.

    Prompts are padded on the left; padding is masked out and takes no position, so it cannot change an answer.
    """
    llm, special = bundle.model.llm, bundle.tokenizer
    device = llm.device
    length = max(map(len, prompts))
    pads = [length - len(prompt) for prompt in prompts]
    ids = torch.tensor([[special.pad] * pad + prompt for pad, prompt in zip(pads, prompts, strict=True)], device=device)
    embeds = embed_prompts(bundle, ids, [image for conversation in conversations for image in conversation.images])
    index = torch.arange(length, device=device)
    begin = torch.tensor(pads, device=device).view(-1, 1)
    real = index >= begin
    # Padding looks at itself, so that no softmax is empty.
    mask = (real[:, None, None, :] & (index[:, None] >= index)) | torch.eye(length, dtype=torch.bool, device=device)
    position = (index - begin).clamp(min=0)
    cache = llm.new_cache(len(ids), length + options.max_new_tokens, embeds.dtype)
    hidden = llm(embeds, position, mask, cache).hidden[:, -1]
    position = position[:, -1:]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    numbers = [torch.rand(options.max_new_tokens, generator=generator) for generator in generators]
    uniforms = torch.stack(numbers).to(device)
    for step in range(options.max_new_tokens):
        logits = llm.logits(hidden)
        check_finite(logits.sum().isfinite())
        chosen = choose(logits, uniforms[:, step], options.temperature, top_p=options.top_p)
        yield chosen.tolist()
        if all(row.done for row in rows) or step == options.max_new_tokens - 1:
            return
        position = position + 1
        real = torch.cat([real, torch.ones_like(begin, dtype=torch.bool)], dim=1)
        embeds = llm.embed(chosen.unsqueeze(1))
        hidden = llm(embeds, position, real[:, None, None, :], cache, begin=length + step).hidden[:, -1]
