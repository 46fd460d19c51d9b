"""Editing: an image and an instruction are the prompt of the image that the one makes of the other.

Brooks et al. 2023, "InstructPix2Pix" (arXiv:2211.09800): in training the instruction alone is dropped at times, and at
times the image, too, so that drawing can be guided by either (Sec. 3.2.1).
"""

from __future__ import annotations

from dataclasses import dataclass

from janusflow.data.sample import GenerationSample
from janusflow.data.transforms import central_square


@dataclass
class EditingConfig:
    """How edits are prompted."""

    words_drop: float = 0.1  # share of instructions dropped from beside their image; data.prompt_drop drops both

    def __post_init__(self) -> None:
        if not 0 <= self.words_drop <= 1:
            raise ValueError(f"editing.words_drop is a share in [0, 1], got {self.words_drop}")


def squared(sample: GenerationSample) -> GenerationSample:
    """The sample behind the central squares of what it shows, which is what is drawn of its own image."""
    return sample._replace(images=[central_square(image) for image in sample.images])
