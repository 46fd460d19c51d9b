"""What a run's training data is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Task = Literal["understanding", "generation", "text"]
TASKS: tuple[Task, ...] = ("understanding", "generation", "text")


@dataclass
class SourceConfig:
    """One source of samples on disk. ``kind`` names its reader in :mod:`janusflow.data.readers`."""

    kind: Literal["webdataset", "folder", "parquet", "conversations", "documents", "text"]
    path: str  # folder; or file, glob, {000..127} range or URL
    images: str | None = None  # conversations, documents: folder of the images (default: beside the file)
    tasks: list[Task] | None = None  # what it is used for (default: all that its reader serves)
    weight: float = 1.0  # its share of each of its tasks, relative to the other sources'; 0: it stays closed
    min_side: int = 0  # pixels; smaller images are left out
    score_field: str | None = None  # webdataset: field of the JSON with an aesthetic score …
    min_score: float = 0.0  # … and its least value
    image_column: str | None = None  # parquet: column of the images (default: image, jpg, png or webp) …
    caption_column: str | None = None  # … and of the captions (default: text, caption, captions or txt)
    cached_latents: bool = False  # webdataset, folder, parquet: take what `janusflow encode-latents` stored

    def __post_init__(self) -> None:
        if self.weight < 0 or self.min_side < 0:
            raise ValueError(f"a source's weight and min_side are 0 or more, got {self.weight} and {self.min_side}")
        if self.cached_latents and self.kind not in ("webdataset", "folder", "parquet"):
            raise ValueError(f"cached_latents goes with webdataset, folder and parquet sources, not with {self.kind}")
        if (self.image_column or self.caption_column) and self.kind != "parquet":
            raise ValueError(f"image_column and caption_column go with parquet sources, not with {self.kind}")
        if self.score_field is not None and self.kind != "webdataset":
            raise ValueError(f"score_field goes with webdataset sources, not with {self.kind}")


@dataclass
class DataConfig:
    """Sources of samples and their form. Without ``sources`` the shapes world is the data."""

    sources: dict[str, SourceConfig] = field(default_factory=dict)  # by a name of your own
    image_size: int = 48  # pixels
    max_length: int | None = None  # tokens of a packed row (default: the model's max_positions)
    turns: int = 4  # shapes: questions in one understanding sample
    caption_share: float = 0.15  # shapes: share of understanding samples that ask for a caption instead
    long_captions: float = 0.25  # shapes: share of generation prompts that are long (before the cut to one sentence)
    prompt_drop: float = 0.1  # share of prompts dropped for classifier-free guidance (Sec. 3.4)
    max_faults: float = 0.05  # share of samples that may be unreadable, after the first 1,000; more stops the run
    workers: int = 1  # processes that make batches ahead of the trainer, on each rank

    def __post_init__(self) -> None:
        for name in ("caption_share", "long_captions", "prompt_drop", "max_faults"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"data.{name} is a share in [0, 1], got {getattr(self, name)}")
        if self.turns < 1:
            raise ValueError(f"data.turns must be at least 1, got {self.turns}")
        if self.workers < 0:
            raise ValueError(f"data.workers must be 0 or more, got {self.workers}")
        if self.max_length is not None and self.max_length < 1:
            raise ValueError(f"data.max_length must be at least 1, got {self.max_length}")
