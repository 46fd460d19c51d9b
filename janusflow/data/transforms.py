"""Images to the tensors that the model takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor


@dataclass
class Preprocessing:
    """How understanding images become pixels. The defaults are JanusFlow's; a checkpoint brings its own."""

    min_side: int = 14  # no side gets shorter than this when resized
    background: list[int] = field(default_factory=lambda: [127, 127, 127])  # of the bars beside an oblong image
    normalize: bool = True  # to (x - mean) / std; else pixels stay in [0, 1]
    mean: list[float] = field(default_factory=lambda: [0.5, 0.5, 0.5])
    std: list[float] = field(default_factory=lambda: [0.5, 0.5, 0.5])

    def __post_init__(self) -> None:
        if not isinstance(self.min_side, int) or self.min_side < 1:
            raise ValueError(f"preprocessing.min_side must be at least 1, got {self.min_side!r}")
        for name in ("background", "mean", "std"):
            values = getattr(self, name)
            numbers = isinstance(values, list | tuple) and all(isinstance(value, int | float) for value in values)
            if not numbers or len(values) != 3:
                raise ValueError(f"preprocessing.{name} must be three numbers, got {values!r}")
        if not all(isinstance(value, int) and 0 <= value <= 255 for value in self.background):
            raise ValueError(f"preprocessing.background must be a colour of 0 to 255, got {self.background}")
        if not all(map(math.isfinite, [*self.mean, *self.std])) or min(self.std) <= 0:
            raise ValueError(f"preprocessing needs a finite mean, and std above 0, got {self.mean} and {self.std}")


JANUSFLOW = Preprocessing()


def understanding_pixels(image: Image.Image, size: int, settings: Preprocessing = JANUSFLOW) -> Tensor:
    """Long side to ``size``, short side padded: (3, size, size), in [-1, 1] with the usual settings.

    Raises ``ValueError`` where ``settings.min_side`` is more than ``size``.
    """
    if settings.min_side > size:
        raise ValueError(f"preprocessing.min_side is {settings.min_side}, more than the image's {size} pixels")
    image = fitted(image, size, settings)
    width, height = image.size
    if width != height:
        square = Image.new("RGB", (size, size), tuple(settings.background))
        square.paste(image, ((size - width) // 2, (size - height) // 2))
        image = square
    pixels = torch.from_numpy(np.asarray(image, dtype=np.float32) / 255.0).permute(2, 0, 1)
    if not settings.normalize:
        return pixels
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (settings.mean, settings.std))
    return (pixels - mean) / std


def fitted(image: Image.Image, size: int, settings: Preprocessing = JANUSFLOW) -> Image.Image:
    """An image in colour, its long side ``size``; one that is so already stays as it is."""
    image = image.convert("RGB")
    sides = fit_sides(*image.size, size, settings.min_side)
    return image if sides == image.size else image.resize(sides, Image.Resampling.BICUBIC)


def fit_sides(width: int, height: int, size: int, min_side: int) -> tuple[int, int]:
    """An image's sides when the longer becomes ``size``.

    The order of operations is the reference's: another one gives other roundings, and long sides of ``size`` - 1.
    """
    longest = max(width, height)
    return max(int(width / longest * size), min_side), max(int(height / longest * size), min_side)


def central_square(image: Image.Image, side: int | None = None) -> Image.Image:
    """The central square, reduced to ``side`` pixels where it has more: what of an image can be drawn."""
    side = min(*image.size, side or min(image.size))
    return ImageOps.fit(image.convert("RGB"), (side, side), Image.Resampling.BICUBIC)


def generation_pixels(image: Image.Image, size: int | tuple[int, int]) -> Tensor:
    """The largest central part of that shape, a square or (height, width), at ``size``: (3, H, W) in [-1, 1]."""
    height, width = (size, size) if isinstance(size, int) else size
    return to_tensor(ImageOps.fit(image.convert("RGB"), (width, height), Image.Resampling.BICUBIC))


def to_tensor(image: Image.Image) -> Tensor:
    """An RGB image as (3, H, W) in [-1, 1], fp32."""
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255.0).permute(2, 0, 1) * 2 - 1


def to_images(pixels: Tensor) -> list[Image.Image]:
    """(B, 3, H, W) in [-1, 1] to 8-bit RGB images; values outside are clipped."""
    levels = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(picture) for picture in levels]
