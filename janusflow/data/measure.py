"""``janusflow measure-codec``: how much of pictures a codec keeps, and each channel's mean and standard deviation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchmetrics.image import PeakSignalNoiseRatio

from janusflow.codecs.base import ImageCodec
from janusflow.codecs.beside import Statistics
from janusflow.codecs.vae import LatentCodec
from janusflow.data.config import SourceConfig
from janusflow.data.readers.base import CaptionedImages
from janusflow.data.sources import open_reader
from janusflow.data.transforms import generation_pixels, to_images, to_tensor
from janusflow.progress import Progress
from janusflow.worlds.scenes import World, sample_scene

WORLD_SEED = 7

Pictures = Callable[[int], Iterator[Image.Image]]  # of at most so many


class Measured(NamedTuple):
    """What :func:`measure` found."""

    psnr_db: float  # of the mean squared error, over 8-bit levels
    pictures: int
    statistics: Statistics | None  # None: codes have none


def source_pictures(config: SourceConfig) -> Pictures:
    """The pictures of a source of captioned images, at equal distances; those that cannot be read are passed over.

    Raises ``ValueError`` for a source without images of its own.
    """
    reader = open_reader(config)
    if not isinstance(reader, CaptionedImages):
        raise ValueError(f"a codec is measured over images with captions, which {config.kind} sources are not")

    def pictures(count: int) -> Iterator[Image.Image]:
        for number in range(min(count, len(reader))):
            try:
                yield reader.fitting_image(number * len(reader) // min(count, len(reader)))
            except ValueError:
                continue

    return pictures


def world_pictures(world: World, side: int) -> Pictures:
    """Pictures of a world's training scenes."""

    def pictures(count: int) -> Iterator[Image.Image]:
        for number in range(count):
            yield sample_scene(np.random.default_rng([WORLD_SEED, number]), world=world).render(side)

    return pictures


@torch.no_grad()
def measure(
    codec: ImageCodec, pictures: Pictures, count: int, size: int, batch_size: int = 8, progress: Progress | None = None
) -> Measured:
    """Send ``count`` pictures at ``size`` pixels through the codec. Raises ``ValueError`` where there are none."""
    quality, done = PeakSignalNoiseRatio(data_range=255.0), 0
    sums = squares = torch.zeros(1, dtype=torch.float64)
    positions = 0
    for pixels in batches(pictures(count), size, batch_size):
        raw = codec.raw(pixels.to(codec.device)).double().cpu() if isinstance(codec, LatentCodec) else None
        if raw is not None:
            sums, squares = sums + raw.sum((0, 2, 3)), squares + raw.square().sum((0, 2, 3))
            positions += raw[:, 0].numel()
        kept = codec.decode(codec.encode(pixels.to(codec.device))).cpu()
        quality.update(levels(kept), levels(pixels))
        done += len(pixels)
        if progress is not None:
            progress(done, count)
    if not done:
        raise ValueError("there is no picture to measure the codec over")
    return Measured(
        quality.compute().item(), done, statistics_of(sums / positions, squares / positions) if positions else None
    )


def statistics_of(mean: Tensor, square: Tensor) -> Statistics:
    """Of the means of latents and of their squares, (C,) in fp64. Raises ``ValueError`` for a channel that is flat."""
    variance = square - mean.square()
    flat = (variance <= 1e-12 * square.clamp(min=1e-12)).nonzero().flatten().tolist()
    if flat:
        raise ValueError(f"channel {flat[0]} of the latents is the same in all pictures: no variance to normalize by")
    return Statistics(mean.float(), variance.sqrt().float())


def batches(pictures: Iterator[Image.Image], size: int, batch_size: int) -> Iterator[Tensor]:
    """Pixels (B, 3, S, S) of the pictures' central squares."""
    held: list[Tensor] = []
    for image in pictures:
        held.append(generation_pixels(image, size))
        if len(held) == batch_size:
            yield torch.stack(held)
            held = []
    if held:
        yield torch.stack(held)


def levels(pixels: Tensor) -> Tensor:
    """Pixels (B, 3, H, W) in [-1, 1] at the 8-bit levels that a picture file has, 0 to 255."""
    return torch.stack([(to_tensor(image) + 1) * 127.5 for image in to_images(pixels)])
