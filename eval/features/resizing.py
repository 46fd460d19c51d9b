"""How pictures are resized before a feature network sees them: the same picture gives 2 to 4 times the FID otherwise.

GigaGAN's protocol (Kang et al. 2023, arXiv:2303.05511, and its evaluation script), which the JanusFlow paper follows
for MJHQ: the central square, Lanczos to 256 in 8 bits, then clean-fid's ``clean`` mode (Parmar et al. 2022,
arXiv:2104.11222), which goes on to the network's 299 in floating point.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

GIGAGAN_SIZE = 256  # pixels
CLEAN_SIZE = 299  # likewise, of Inception's input


def gigagan(image: Image.Image) -> Image.Image:
    """The central square of the short side, at 256 pixels by PIL's Lanczos, rounded to 8 bits."""
    return _square(image, Image.Resampling.LANCZOS)


def _square(image: Image.Image, filter: Image.Resampling) -> Image.Image:
    square = image if image.mode == "RGB" else image.convert("RGB")
    side = min(image.size)
    if image.size != (side, side):
        left, top = (round((length - side) / 2) for length in image.size)  # halves to even, as torchvision crops
        square = square.crop((left, top, left + side, top + side))
    return square.resize((GIGAGAN_SIZE, GIGAGAN_SIZE), filter)


def bicubic(image: Image.Image) -> Image.Image:
    """As :func:`gigagan`, by PIL's bicubic filter: how DeepSeek brought Janus's 384 px to 256 for COCO.

    Source: its authors' answer in issue 22 of deepseek-ai/Janus. The real pictures went through GigaGAN's script.
    """
    return _square(image, Image.Resampling.BICUBIC)


def unchanged(image: Image.Image) -> Image.Image:
    """The picture as it is: clean-fid's own protocol, whose only resizing is :func:`clean_pixels`."""
    return image


RESIZES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "gigagan": gigagan,
    "clean": unchanged,
    "bicubic": bicubic,
}
OF_REFERENCE = {"gigagan": "gigagan", "clean": "clean", "bicubic": "gigagan"}  # how the real pictures are resized


def clean_pixels(image: Image.Image) -> np.ndarray:
    """clean-fid's input of Inception: (3, 299, 299) float32 in 0..255.

    Each channel by itself, bicubic in floating point, clipped and not rounded; another shape than square is stretched.
    The values are clean-fid's, bit for bit; it makes the channels from an array, which takes as long as resizing them.
    """
    channels = (image if image.mode == "RGB" else image.convert("RGB")).split()
    resized = [one.convert("F").resize((CLEAN_SIZE, CLEAN_SIZE), Image.Resampling.BICUBIC) for one in channels]
    pixels = np.stack([np.asarray(one) for one in resized])
    return pixels.clip(0, 255, out=pixels)
