"""Images to the tensors that the model takes."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

PAD_LEVEL = 127  # grey of the bars beside an image that is not square
MIN_SIDE = 14  # no side gets shorter than this when resized


def understanding_pixels(image: Image.Image, size: int) -> Tensor:
    """Long side to ``size``, short side padded with grey: (3, size, size) in [-1, 1]."""
    image = image.convert("RGB")
    scale = size / max(image.size)
    width, height = (max(int(side * scale), MIN_SIDE) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    if width != height:
        square = Image.new("RGB", (size, size), (PAD_LEVEL,) * 3)
        square.paste(image, ((size - width) // 2, (size - height) // 2))
        image = square
    return to_tensor(image)


def generation_pixels(image: Image.Image, size: int) -> Tensor:
    """Short side to ``size``, long side cut at the centre: (3, size, size) in [-1, 1]."""
    image = image.convert("RGB")
    if image.size != (size, size):
        scale = size / min(image.size)
        width, height = (max(round(side * scale), size) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - size) // 2, (height - size) // 2
        image = image.crop((left, top, left + size, top + size))
    return to_tensor(image)


def to_tensor(image: Image.Image) -> Tensor:
    """An RGB image as (3, H, W) in [-1, 1], fp32."""
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255.0).permute(2, 0, 1) * 2 - 1


def to_images(pixels: Tensor) -> list[Image.Image]:
    """(B, 3, H, W) in [-1, 1] to 8-bit RGB images; values outside are clipped."""
    levels = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(picture) for picture in levels]
