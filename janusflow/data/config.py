"""What a run's training data is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class DataConfig:
    """A source of samples and their form."""

    source: Literal["shapes", "folder"] = "shapes"  # the shapes world, or a folder of images with captions
    folder: str | None = None  # of the source "folder": images and captions.jsonl
    cached_latents: bool = False  # folder: take what `janusflow encode-latents` stored there, instead of the VAE
    image_size: int = 48  # pixels
    turns: int = 4  # shapes: questions in one understanding sample
    caption_share: float = 0.15  # shapes: share of understanding samples that ask for a caption instead
    long_captions: float = 0.25  # shapes: share of generation prompts that are long (before the cut to one sentence)
    prompt_drop: float = 0.1  # share of prompts dropped for classifier-free guidance (Sec. 3.4)
    workers: int = 1  # processes that make batches ahead of the trainer

    def __post_init__(self) -> None:
        for name in ("caption_share", "long_captions", "prompt_drop"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"data.{name} is a share in [0, 1], got {getattr(self, name)}")
        if self.turns < 1:
            raise ValueError(f"data.turns must be at least 1, got {self.turns}")
        if self.cached_latents and self.source != "folder":
            raise ValueError("data.cached_latents goes with data.source=folder")
        if (self.source == "folder") != (self.folder is not None):
            raise ValueError(
                f"data.folder goes with data.source=folder, got source {self.source!r} and {self.folder!r}"
            )
