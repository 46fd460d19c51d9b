"""What data sources give (samples) and what the trainer eats (batches).

Legend: B rows, L positions, U understanding images, G generated images, K sources, S image side, N tokens of an image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from janusflow.models.unified import Images, Rows


class UnderstandingSample(NamedTuple):
    """A conversation, (question, answer) turns, about images that stand in front of the first question."""

    images: Sequence[Image.Image]
    turns: Sequence[tuple[str, str]]


class DocumentSample(NamedTuple):
    """Texts and images in reading order; the texts are supervised."""

    segments: Sequence[str | Image.Image]

    @property
    def images(self) -> list[Image.Image]:
        return [segment for segment in self.segments if not isinstance(segment, str)]


class GenerationSample(NamedTuple):
    """An image and the prompt that should draw it."""

    image: Image.Image | None  # None: there are only latents
    prompt: str
    latent: Tensor | None = None  # (C, h, w) of the image's central part, where it is stored
    noise: int | None = None  # seed of the noise that the latent was drawn from, where it was
    images: Sequence[Image.Image] = ()  # what the prompt shows in front of its words


class TextSample(NamedTuple):
    """A line of text."""

    text: str


class Unwanted(ValueError):
    """A sample that the settings leave out: too small, below a score, longer than a row. Skipped, and no fault."""


class Batch(NamedTuple):
    """The data of one micro-batch."""

    rows: Rows
    labels: Tensor  # (B, L) the next token at the position that predicts it, -100 where nothing is supervised
    und_pixels: Tensor  # (U, 3, S, S) in [-1, 1]
    gen_pixels: Tensor  # (G, 3, S, S) in [-1, 1]
    gen_latents: Tensor | None  # (G, …), where the source stores them; else the trainer encodes
    seeds: Tensor  # (G,) of what is random about each generated image
    noise: Tensor  # (G,) seeds of the noise that it began as, -1 where any will do
    source_pixels: Tensor  # (K, 3, S, S) in [-1, 1], of what prompts show as latents
    further: tuple[Images, ...] = ()  # generated images of further shapes: those of ``data.buckets`` behind the first

    @property
    def generated(self) -> int:
        """Images of all shapes."""
        return len(self.seeds) + sum(len(one.seeds) for one in self.further)

    def further_encoded(self, encode: Callable[[Tensor], Tensor]) -> list[Images]:
        """The images of further shapes, those whose latents are not stored through ``encode``."""
        return [one if one.latents is not None else one._replace(latents=encode(one.pixels)) for one in self.further]


class Step(NamedTuple):
    """One rank's share of one optimizer step."""

    micro_batches: list[Batch]
    faults: list[str]  # what could not be read, and was replaced
    left_out: int  # how many were skipped because the settings do not want them
