"""Reconstruction: an image, as understanding sees it, is the prompt that draws it again (RecA, arXiv:2509.07295).

Xie et al., "Reconstruction Alignment Improves Unified Multimodal Models". Images need no captions for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from janusflow.data.sample import GenerationSample
from janusflow.data.transforms import central_square

# What is said behind an image that is to be drawn again; the first is also what is said where nothing else is given.
REQUESTS = (
    "Draw this picture again.",
    "Draw what this picture shows.",
    "What do you see? Draw it.",
    "Show this picture again.",
)


@dataclass
class ReconstructionConfig:
    """How images are shown that are to be drawn again."""

    requests: list[str] = field(default_factory=lambda: [*REQUESTS])  # the words behind an image, one of them at random
    side: int | None = None  # pixels that what is shown is reduced to first: then it tells less of how things look

    def __post_init__(self) -> None:
        if not self.requests:
            raise ValueError("reconstruction.requests is empty: say something behind an image, or ''")
        if self.side is not None and self.side < 1:
            raise ValueError(f"reconstruction.side must be at least 1 pixel, got {self.side}")

    def prompted(self, sample: GenerationSample, rng: np.random.Generator) -> GenerationSample:
        """The sample behind its own image, the central square of it, and a request in the place of its prompt."""
        assert sample.image is not None, "only images can be seen"
        request = self.requests[rng.integers(len(self.requests))]
        return sample._replace(prompt=request, images=[central_square(sample.image, self.side)])
