"""Samples to packed token rows with image slots, and the labels of supervised positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from janusflow.data.buckets import Bucket, Position, nearest, square
from janusflow.data.sample import Batch, DocumentSample, GenerationSample, TextSample, UnderstandingSample, Unwanted
from janusflow.data.template import ChatTemplate, Tokens
from janusflow.data.transforms import JANUSFLOW, Preprocessing, generation_pixels, understanding_pixels
from janusflow.models.unified import IGNORED, PADDING, Images, Rows


class TokenSequence(NamedTuple):
    """One sample as tokens. ``und``, ``gen`` and ``source`` list where its image spans begin (the begin position)."""

    ids: list[int]
    positions: list[Position]
    supervised: list[bool]
    und: list[int]
    gen: list[int]
    bucket: int = 0  # number of the generated image's shape
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
    """Turns samples into rows of at most ``max_length`` tokens. Image spans have 1 + N positions.

    buckets: the shapes of generated images (default: squares in raster order).
    """

    def __init__(
        self,
        template: ChatTemplate,
        image_size: int,
        max_length: int,
        preprocessing: Preprocessing = JANUSFLOW,
        buckets: Sequence[Bucket] = (),
    ) -> None:
        self.template = template
        self.image_size = image_size
        self.preprocessing = preprocessing
        self.max_length = max_length
        self.buckets = [*buckets] or [square(image_size, template.image_tokens)]
        self.directions = 1 if isinstance(self.buckets[0].offsets[0], int) else 2  # of a position

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
        bucket = self._bucket(sample)
        span = [prompt[-1]] + [self.template.tokenizer.image] * self.buckets[bucket].grid.tokens
        positions: list[Position] = [*range(len(kept)), *self.buckets[bucket].positions(begin)]
        ids = [*kept, *span]
        self._check(len(ids))
        und, source = self.template.spans(kept)
        return TokenSequence(ids, positions, [False] * len(ids), und, [len(kept)], bucket, source)

    def _bucket(self, sample: GenerationSample) -> int:
        """The number of a generated image's shape."""
        if len(self.buckets) == 1:
            return 0
        if sample.image is None:
            raise ValueError("pairs are squares: they do not go with data.buckets")
        return nearest([bucket.size for bucket in self.buckets], *sample.image.size)

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
        positions = self._no_positions(shape)
        segments = torch.full(shape, PADDING)
        labels = torch.full(shape, IGNORED)
        for number, (sequence, (row, start)) in enumerate(zip(sequences, placements, strict=True)):
            place = slice(start, start + len(sequence.ids))
            ids[row, place] = torch.tensor(sequence.ids)
            positions[row, place] = torch.tensor(self._in_directions(sequence.positions))
            segments[row, place] = number
            labels[row, place] = torch.tensor(_labels(sequence))
        und_slots = self._slots(placements, [sequence.und for sequence in sequences], shape[1])
        source_slots = self._slots(placements, [sequence.source for sequence in sequences], shape[1])
        numbers = [*range(len(gen))] if seeds is None else [*seeds]
        drawing = [sequence.bucket for sequence in sequences if sequence.gen]
        slots, images = [], []
        for number, bucket in enumerate(self.buckets):
            begins = [sequence.gen if sequence.bucket == number else [] for sequence in sequences]
            slots.append(self._slots(placements, begins, shape[1], bucket.grid.tokens))
            own = [place for place, of in enumerate(drawing) if of == number]
            images.append(self._images([gen[place] for place in own], [numbers[place] for place in own], bucket))
        first, *further = images
        return Batch(
            rows=Rows(ids, positions, segments, und_slots, slots[0], source_slots, tuple(slots[1:])),
            labels=labels,
            und_pixels=self._stack(
                [
                    understanding_pixels(image, self.image_size, self.preprocessing)
                    for sample in und
                    for image in sample.images
                ]
            ),
            gen_pixels=first.pixels,
            gen_latents=first.latents,
            seeds=first.seeds,
            noise=first.noise,
            source_pixels=self._stack(
                [generation_pixels(image, self.image_size) for sample in source for image in sample.images]
            ),
            further=tuple(further),
        )

    def _images(self, gen: Sequence[GenerationSample], seeds: Sequence[int], bucket: Bucket) -> Images:
        """The generated images of one shape."""
        latents = [sample.latent for sample in gen if sample.latent is not None]
        if len(latents) < len(gen) and any(sample.image is None for sample in gen):
            raise ValueError("pairs do not go with images whose latents are not stored: encode those first")
        noise = [-1 if sample.noise is None else sample.noise for sample in gen]
        return Images(
            self._stack([self._pixels(sample, bucket) for sample in gen], bucket.size),
            torch.stack(latents) if latents and len(latents) == len(gen) else None,
            torch.tensor(seeds, dtype=torch.long),
            torch.tensor(noise, dtype=torch.long),
        )

    def _pixels(self, sample: GenerationSample, bucket: Bucket) -> Tensor:
        return torch.zeros(3, *bucket.size) if sample.image is None else generation_pixels(sample.image, bucket.size)

    def _no_positions(self, shape: tuple[int, int]) -> Tensor:
        """Of padding."""
        return torch.zeros(shape, dtype=torch.long) if self.directions == 1 else torch.zeros(*shape, 2)

    def _in_directions(self, positions: Sequence[Position]) -> Sequence[Position]:
        """Positions with a row and a column each, where images have both; text has the same for both."""
        if self.directions == 1:
            return positions
        return [(one, one) if isinstance(one, int) else one for one in positions]

    def _slots(
        self, placements: list[Placement], begins: Sequence[Sequence[int]], length: int, tokens: int | None = None
    ) -> Tensor:
        """tokens: of an image (default: of one that is seen)."""
        tokens = self.template.image_tokens if tokens is None else tokens
        starts = [
            p.row * length + p.start + begin for p, spans in zip(placements, begins, strict=True) for begin in spans
        ]
        return torch.tensor(starts, dtype=torch.long).view(-1, 1) + torch.arange(1 + tokens)

    def _stack(self, images: list[Tensor], size: tuple[int, int] | None = None) -> Tensor:
        return torch.stack(images) if images else torch.empty(0, 3, *(size or (self.image_size, self.image_size)))


def _labels(sequence: TokenSequence) -> list[int]:
    """The next id where it is supervised."""
    following = zip(sequence.ids[1:], sequence.supervised[1:], strict=True)
    return [token if wanted else IGNORED for token, wanted in following] + [IGNORED]
