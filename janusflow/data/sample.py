"""What data sources give (samples) and what the trainer eats (batches).

Legend: B rows, L positions, U understanding images, G generated images, S image side, N tokens of an image.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from PIL import Image
from torch import Tensor

from janusflow.models.unified import Rows


class UnderstandingSample(NamedTuple):
    """An image and a conversation about it: (question, answer) turns."""

    image: Image.Image
    turns: list[tuple[str, str]]


class GenerationSample(NamedTuple):
    """An image and the prompt that should draw it."""

    image: Image.Image
    prompt: str
    latent: Tensor | None = None  # (C, s, s) of the image's central square, where it is stored


class TextSample(NamedTuple):
    """A line of text."""

    text: str


Sample = UnderstandingSample | GenerationSample | TextSample


class Source(Protocol):
    """Training samples by index: the same index always gives the same sample."""

    def understanding(self, index: int) -> UnderstandingSample: ...

    def generation(self, index: int, first_sentence: float) -> GenerationSample: ...

    def text(self, index: int) -> TextSample: ...


class Batch(NamedTuple):
    """One step's data."""

    step: int  # of the stage
    rows: Rows
    labels: Tensor  # (B, L) the next token at the position that predicts it, -100 where nothing is supervised
    und_pixels: Tensor  # (U, 3, S, S) in [-1, 1]
    gen_pixels: Tensor  # (G, 3, S, S) in [-1, 1]
    gen_latents: Tensor | None = None  # (G, C, s, s), where the source stores them; else the trainer encodes
