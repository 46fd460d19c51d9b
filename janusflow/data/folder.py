"""A folder of images with captions: ``captions.jsonl`` beside the images, one ``{"file", "captions"}`` a line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from janusflow.data.latents import LatentCache, is_complete, write_latents
from janusflow.data.sample import GenerationSample, TextSample, UnderstandingSample
from janusflow.models.vae import LatentCodec
from janusflow.pictures import read_image
from janusflow.samplers import Progress

LISTING = "captions.jsonl"
LATENTS = "latents"  # folder of stored latents inside the image folder
PIECE = 1024  # images in one of its files
CAPTION_REQUEST = "Describe the image briefly."


class FolderSource:
    """Training samples of an image folder, a pure function of (seed, task, index); images return in ever new orders.

    Raises ``ValueError`` with the path and line where the listing is missing or damaged.
    """

    def __init__(self, folder: str | Path, seed: int, cached_latents: bool = False) -> None:
        self.folder, self.seed = Path(folder), seed
        self.items = read_listing(self.folder)
        self.latents = LatentCache(latent_files(self.folder)) if cached_latents else None

    def understanding(self, index: int) -> UnderstandingSample:
        """An image with a request for its caption."""
        _, image, caption = self._pick(0, index)
        return UnderstandingSample(image, [(CAPTION_REQUEST, caption)])

    def generation(self, index: int, first_sentence: float) -> GenerationSample:
        """An image with a caption, which is cut to one sentence in a share ``first_sentence`` of the samples."""
        path, image, caption = self._pick(1, index)
        if self._rng(3, index).random() < first_sentence:
            caption = caption.split(". ")[0]
        latent = None if self.latents is None else self.latents[image_name(path, self.folder)]
        return GenerationSample(image, caption, latent)

    def text(self, index: int) -> TextSample:
        """A caption without its image."""
        _, captions = self._item(2, index)
        return TextSample(str(self._rng(2, index).choice(captions)))

    def examples(self, count: int) -> list[GenerationSample]:
        """The first ``count`` images of the listing with their first captions."""
        return [GenerationSample(read_image(path), captions[0]) for path, captions in self.items[:count]]

    def _pick(self, task: int, index: int) -> tuple[Path, Image.Image, str]:
        path, captions = self._item(task, index)
        return path, read_image(path), str(self._rng(task, index).choice(captions))

    def _item(self, task: int, index: int) -> tuple[Path, list[str]]:
        """Each pass over the folder is a fresh permutation."""
        turn, place = divmod(index, len(self.items))
        return self.items[self._rng(task, turn, len(self.items)).permutation(len(self.items))[place]]

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *key])


def image_name(path: Path, folder: Path) -> str:
    """An image's name among the stored latents: its path in the folder."""
    return path.relative_to(folder).as_posix()


def latent_files(folder: Path) -> list[Path]:
    """The stored latents of a folder. Raises ``ValueError`` where there are none."""
    files = sorted((folder / LATENTS).glob("*.safetensors"))
    if not files:
        raise ValueError(f"no latents in {folder / LATENTS}: make them with janusflow encode-latents")
    return files


def encode_folder(
    folder: Path, codec: LatentCodec, size: int, batch_size: int = 8, progress: Progress | None = None
) -> int:
    """Store the latents of all images in files of ``PIECE`` each; files that are there already stay. The files' number.

    progress: ``progress(done, total)`` counts images.
    """
    items = read_listing(folder)
    (folder / LATENTS).mkdir(exist_ok=True)
    pieces = range(0, len(items), PIECE)
    for number, start in enumerate(pieces):
        part = items[start : start + PIECE]
        path = folder / LATENTS / f"{number:05d}.safetensors"
        if not is_complete(path, codec, size):
            images = ((image_name(image, folder), read_image(image)) for image, _ in part)
            write_latents(path, images, codec, size, batch_size)
        if progress is not None:
            progress(start + len(part), len(items))
    return len(pieces)


def read_listing(folder: Path) -> list[tuple[Path, list[str]]]:
    """Paths and captions of a folder. Raises ``ValueError`` where its listing is missing, empty or damaged."""
    listing = folder / LISTING
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {listing}: {error}") from error
    items = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            path, captions = folder / entry["file"], [str(caption) for caption in entry["captions"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{listing}, line {number}: {error!r}") from error
        if not captions or not path.is_file():
            raise ValueError(f"{listing}, line {number}: {path} is missing or has no caption")
        items.append((path, captions))
    if not items:
        raise ValueError(f"{listing} lists no image")
    return items
