"""Samples to packed token rows with image slots, and the labels of supervised positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from janusflow.data.sample import Batch, DocumentSample, GenerationSample, TextSample, UnderstandingSample, Unwanted
from janusflow.data.template import ChatTemplate, Tokens
from janusflow.data.transforms import JANUSFLOW, Preprocessing, generation_pixels, understanding_pixels
from janusflow.models.unified import IGNORED, PADDING, Rows


class TokenSequence(NamedTuple):
    """One sample as tokens. ``und``, ``gen`` and ``source`` list where its image spans begin (the begin position)."""

    ids: list[int]
    positions: list[int]
    supervised: list[bool]
    und: list[int]
    gen: list[int]
    source: Sequence[int] = ()  # of clean latents that its prompt shows


class Placement(NamedTuple):
    """Where a sample goes: its row and its first position in it."""

    row: int
    start: int


def pack(lengths: Sequence[int], capacity: int) -> list[Placement]:
    """A place for every sample, in the order of ``lengths``: first fit, longest first. No sample is ever cut.

    Raises ``ValueError`` for a sample longer than ``capacity``.
    """
    filled: list[int] = []
    placements = [Placement(0, 0)] * len(lengths)
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        length = lengths[index]
        if length > capacity:
            raise ValueError(f"a sample has {length} tokens, more than the {capacity} of a row")
        row = next((r for r, used in enumerate(filled) if used + length <= capacity), len(filled))
        if row == len(filled):
            filled.append(0)
        placements[index] = Placement(row, filled[row])
        filled[row] += length
    return placements


class RowBuilder:
    """Turns samples into rows of at most ``max_length`` tokens. Image spans have 1 + N positions."""

    def __init__(
        self, template: ChatTemplate, image_size: int, max_length: int, preprocessing: Preprocessing = JANUSFLOW
    ) -> None:
        self.template = template
        self.image_size = image_size
        self.preprocessing = preprocessing
        self.max_length = max_length

    def understanding(self, sample: UnderstandingSample | DocumentSample) -> TokenSequence:
        """A conversation about images, whose answers are supervised, or a document, whose texts are."""
        if isinstance(sample, DocumentSample):
            tokens = self.template.document([s if isinstance(s, str) else None for s in sample.segments])
        else:
            tokens = self.template.conversation(list(sample.turns), len(sample.images))
        return self.tokens(tokens, self._shown(tokens.ids))

    def generation(self, sample: GenerationSample, instruction: bool, drop: bool) -> TokenSequence:
        """Prompt and image span, which keeps its positions where the prompt is dropped, with all that it shows."""
        prompt = self.template.generation_prompt(sample.prompt, instruction, len(sample.images))
        begin = len(prompt) - 1  # begin-of-image, the span's first position
        kept = self.template.dropped_prompt(prompt) if drop else prompt[:-1]
        span = [prompt[-1]] + [self.template.tokenizer.image] * self.template.image_tokens
        positions = [*range(len(kept)), *range(begin, begin + len(span))]
        ids = [*kept, *span]
        self._check(len(ids))
        und, source = self.template.spans(kept)
        return TokenSequence(ids, positions, [False] * len(ids), und, gen=[len(kept)], source=source)

    def text(self, sample: TextSample) -> TokenSequence:
        """Text, all of it supervised; what a row cannot hold is cut off."""
        tokens = self.template.text(sample.text)
        return self.tokens(Tokens(tokens.ids[: self.max_length], tokens.supervised[: self.max_length]))

    def tokens(self, tokens: Tokens, und: Sequence[int] = ()) -> TokenSequence:
        """Tokens as they are; ``und`` says where image spans begin. Raises :class:`Unwanted` beyond a row."""
        self._check(len(tokens.ids))
        return TokenSequence(tokens.ids, list(range(len(tokens.ids))), tokens.supervised, list(und), [])

    def _shown(self, ids: Sequence[int]) -> list[int]:
        """Where the spans of images begin that the model sees."""
        return [i for i, token in enumerate(ids) if token == self.template.tokenizer.boi]

    def _check(self, length: int) -> None:
        if length > self.max_length:
            raise Unwanted(f"a sample has {length} tokens, more than the {self.max_length} of a row")

    def collate(
        self,
        sequences: Sequence[TokenSequence],
        und: Sequence[UnderstandingSample | DocumentSample | GenerationSample],
        gen: Sequence[GenerationSample],
        seeds: Sequence[int] | None = None,
        source: Sequence[GenerationSample] = (),
    ) -> Batch:
        """Pack ``sequences`` into rows. ``und``, ``gen`` and ``source`` give the images that are seen, drawn and shown
        as latents, in the order of their spans.

        ``seeds`` are those of the generated images (default 0, 1, …). No sequence at all makes one row of padding.
        Raises ``ValueError`` where a sample is longer than a row.
        """
        placements = pack([len(sequence.ids) for sequence in sequences], self.max_length)
        shape = (
            max((p.row + 1 for p in placements), default=1),
            max((p.start + len(s.ids) for p, s in zip(placements, sequences, strict=True)), default=1),
        )
        ids = torch.full(shape, self.template.tokenizer.pad)
        positions = torch.zeros(shape, dtype=torch.long)
        segments = torch.full(shape, PADDING)
        labels = torch.full(shape, IGNORED)
        for number, (sequence, (row, start)) in enumerate(zip(sequences, placements, strict=True)):
            place = slice(start, start + len(sequence.ids))
            ids[row, place] = torch.tensor(sequence.ids)
            positions[row, place] = torch.tensor(sequence.positions)
            segments[row, place] = number
            labels[row, place] = torch.tensor(_labels(sequence))
        und_slots = self._slots(placements, [sequence.und for sequence in sequences], shape[1])
        gen_slots = self._slots(placements, [sequence.gen for sequence in sequences], shape[1])
        source_slots = self._slots(placements, [sequence.source for sequence in sequences], shape[1])
        latents = [sample.latent for sample in gen if sample.latent is not None]
        if len(latents) < len(gen) and any(sample.image is None for sample in gen):
            raise ValueError("pairs do not go with images whose latents are not stored: encode those first")
        return Batch(
            rows=Rows(ids, positions, segments, und_slots, gen_slots, source_slots),
            labels=labels,
            und_pixels=self._stack(
                [
                    understanding_pixels(image, self.image_size, self.preprocessing)
                    for sample in und
                    for image in sample.images
                ]
            ),
            gen_pixels=self._stack([self._pixels(sample) for sample in gen]),
            gen_latents=torch.stack(latents) if latents and len(latents) == len(gen) else None,
            seeds=torch.tensor(range(len(gen)) if seeds is None else seeds, dtype=torch.long),
            noise=torch.tensor([-1 if sample.noise is None else sample.noise for sample in gen], dtype=torch.long),
            source_pixels=self._stack(
                [generation_pixels(image, self.image_size) for sample in source for image in sample.images]
            ),
        )

    def _pixels(self, sample: GenerationSample) -> Tensor:
        if sample.image is None:
            return torch.zeros(3, self.image_size, self.image_size)
        return generation_pixels(sample.image, self.image_size)

    def _slots(self, placements: list[Placement], begins: Sequence[Sequence[int]], length: int) -> Tensor:
        starts = [
            p.row * length + p.start + begin for p, spans in zip(placements, begins, strict=True) for begin in spans
        ]
        return torch.tensor(starts, dtype=torch.long).view(-1, 1) + torch.arange(1 + self.template.image_tokens)

    def _stack(self, images: list[Tensor]) -> Tensor:
        return torch.stack(images) if images else torch.empty(0, 3, self.image_size, self.image_size)


def _labels(sequence: TokenSequence) -> list[int]:
    """The next id where it is supervised."""
    following = zip(sequence.ids[1:], sequence.supervised[1:], strict=True)
    return [token if wanted else IGNORED for token, wanted in following] + [IGNORED]
