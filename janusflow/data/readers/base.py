"""What a reader is, and what all readers of images with captions share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from janusflow.data.config import TASKS, SourceConfig, Task
from janusflow.data.latents import LatentCache
from janusflow.data.mixture import Shuffle
from janusflow.data.pieces import Piece
from janusflow.data.readers.files import check_pattern
from janusflow.data.sample import DocumentSample, GenerationSample, TextSample, UnderstandingSample, Unwanted

CAPTION_REQUEST = "Describe the image briefly."
MIN_SIDE, MAX_ASPECT = 14, 10.0
HELD = (0x4E1D,)  # seed of what is held out, the same in every run


class Reader(ABC):
    """Samples by number. A reader serves some of the :data:`~janusflow.data.config.TASKS`; ``rng`` makes its choices.

    It is built from its ``Config``, a keyword-only dataclass of the keys that its sources have, and passed to other
    processes. Every method raises ``ValueError`` that names the sample where it cannot be read or is not wanted.
    """

    Config: type[SourceConfig] = SourceConfig
    tasks: tuple[Task, ...] = ()
    latents: LatentCache | None = None  # what is stored, of the run's image codec

    @abstractmethod
    def __init__(self, config: SourceConfig) -> None: ...

    @abstractmethod
    def __len__(self) -> int: ...

    def understanding(self, item: int, rng: np.random.Generator) -> UnderstandingSample | DocumentSample:
        raise ValueError(f"{type(self).__name__} gives no understanding samples")

    def generation(self, item: int, rng: np.random.Generator) -> GenerationSample:
        raise ValueError(f"{type(self).__name__} gives no generation samples")

    def text(self, item: int, rng: np.random.Generator) -> TextSample:
        raise ValueError(f"{type(self).__name__} gives no text samples")

    def reconstruction(self, item: int, rng: np.random.Generator) -> GenerationSample:
        """An image that is to be drawn again; its prompt is not used."""
        return self.generation(item, rng)

    def editing(self, item: int, rng: np.random.Generator) -> GenerationSample:
        """The image that an instruction makes of another, which it shows."""
        raise ValueError(f"{type(self).__name__} gives no editing samples")

    def describe(self, name: str, tasks: Sequence[Task]) -> str:
        """A few words on the source called ``name``, which is used for ``tasks``."""
        return f"{name}: {len(self):,} for {', '.join(tasks)}"

    def held_out(self, wanted: int) -> int:
        """How many samples do not train where ``wanted`` are to be held out: at most a tenth."""
        return min(wanted, len(self) // 10)

    def pick(self, key: tuple[int, int, int], place: int, held: int = 0) -> tuple[int, np.random.Generator]:
        """The item at ``place`` of an endless sequence of epochs without the ``held`` ones, and what makes its choices.

        key: the run's seed, the task's number, and the source's among those that serve it.
        """
        item = Shuffle(len(self) - held, key)[place]
        return Shuffle(len(self), HELD)[item] if held else item, np.random.default_rng((*key, place))

    def pick_held(self, number: int, held: int) -> tuple[int, np.random.Generator]:
        """The held-out sample ``number`` of ``held``, and what makes its choices."""
        return Shuffle(len(self), HELD)[len(self) - held + number], np.random.default_rng((*HELD, number))


@dataclass(kw_only=True)
class FilesConfig(SourceConfig):
    """Keys of a source of files."""

    path: str  # file, glob, {000..127} range or URL

    def check_files(self) -> None:
        try:
            check_pattern(self.path)
        except ValueError as error:
            raise ValueError(f"path: {error}") from error


@dataclass(kw_only=True)
class ImagesConfig(FilesConfig):
    """Keys of a source with images."""

    min_side: int = 0  # pixels; smaller images are left out

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_side < 0:
            raise ValueError(f"a source's min_side is 0 or more, got {self.min_side}")


class CaptionedImages(Reader):
    """Images with captions: a generation prompt, an answer to a request for a description, or a line of text."""

    @dataclass(kw_only=True)
    class Config(ImagesConfig):
        cached_latents: bool = False  # take what `janusflow encode-latents` stored

        @property
        def captioned(self) -> bool:
            """Whether captions are asked for."""
            return self.tasks != ["reconstruction"]

    tasks = tuple(task for task in TASKS if task != "editing")

    def __init__(self, config: Config) -> None:
        """Called last: stored latents are opened, which are those of the :meth:`pieces`."""
        self.min_side = config.min_side
        if not config.captioned:
            self.tasks = ("reconstruction",)
        self.latents = LatentCache(self.latent_files()) if config.cached_latents else None

    @abstractmethod
    def name(self, item: int) -> str:
        """What faults and stored latents call an item."""

    @abstractmethod
    def image(self, item: int) -> Image.Image:
        """The RGB image of an item."""

    @abstractmethod
    def captions(self, item: int) -> Sequence[str]:
        """The captions of an item."""

    @abstractmethod
    def pieces(self) -> list[Piece]:
        """Where the latents of which items are stored; together all items, in order."""

    def latent_files(self) -> list[Path]:
        """The files of stored latents. Raises ``ValueError`` where there are none."""
        return [piece.path for piece in self.pieces()]

    def understanding(self, item: int, rng: np.random.Generator) -> UnderstandingSample | DocumentSample:
        """An image with a request for its caption."""
        return UnderstandingSample([self.fitting_image(item)], [(CAPTION_REQUEST, self.caption(item, rng))])

    def generation(self, item: int, rng: np.random.Generator) -> GenerationSample:
        """An image with one of its captions."""
        return self.reconstruction(item, rng)._replace(prompt=self.caption(item, rng))

    def reconstruction(self, item: int, rng: np.random.Generator) -> GenerationSample:
        """An image alone."""
        latent = None if self.latents is None else self.latents[self.name(item)]
        return GenerationSample(self.fitting_image(item), "", latent)

    def text(self, item: int, rng: np.random.Generator) -> TextSample:
        """A caption without its image."""
        return TextSample(self.caption(item, rng))

    def caption(self, item: int, rng: np.random.Generator) -> str:
        """One of an item's captions."""
        captions = [caption.strip() for caption in self.captions(item) if caption.strip()]
        if not captions:
            raise ValueError(f"{self.name(item)} has no caption")
        return captions[rng.integers(len(captions))]

    def fitting_image(self, item: int) -> Image.Image:
        """The image, unless its size is absurd or below what is wanted."""
        image = self.image(item)
        check_size(image, self.min_side, self.name(item))
        return image


def check_size(image: Image.Image, min_side: int, name: str) -> None:
    """Raise ``ValueError`` for an image of absurd size, :class:`Unwanted` for a side below ``min_side`` pixels."""
    short, long = sorted(image.size)
    if short < MIN_SIDE:
        raise ValueError(f"{name} has {image.width} x {image.height} pixels, a side below {MIN_SIDE}")
    if short < min_side:
        raise Unwanted(f"{name} has {image.width} x {image.height} pixels, a side below {min_side}")
    if long > MAX_ASPECT * short:
        raise ValueError(f"{name} has {image.width} x {image.height} pixels, an aspect ratio over {MAX_ASPECT:g}")


def latents_beside(path: Path) -> Path:
    """Where the stored latents of a shard, or of a parquet file, are."""
    return path.with_suffix(".latents.safetensors")


def text_list(value: object) -> list[str] | None:
    """A text or a list of texts as a list; None for anything else."""
    texts = [value] if isinstance(value, str) else value
    return texts if isinstance(texts, list) and all(isinstance(text, str) for text in texts) else None
