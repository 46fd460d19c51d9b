"""How pictures are resized before a feature network sees them: the same picture gives 2 to 4 times the FID otherwise.

GigaGAN's protocol (Kang et al. 2023, arXiv:2303.05511, and its evaluation script), which the JanusFlow paper follows
for MJHQ: the central square, Lanczos to 256 in 8 bits, then clean-fid's ``clean`` mode (Parmar et al. 2022,
arXiv:2104.11222), which goes on to the network's 299 in floating point.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image

GIGAGAN_SIZE = 256  # pixels


def gigagan(image: Image.Image) -> Image.Image:
    """The central square of the short side, at 256 pixels by PIL's Lanczos, rounded to 8 bits."""
    return _square(image, Image.Resampling.LANCZOS)


def _square(image: Image.Image, filter: Image.Resampling) -> Image.Image:
    image = image.convert("RGB")
    side = min(image.size)
    left, top = (round((length - side) / 2) for length in image.size)  # halves to even, as torchvision crops
    square = image.crop((left, top, left + side, top + side))
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
    """clean-fid's input of Inception: (299, 299, 3) float32 in 0..255.

    Each channel by itself, bicubic in floating point, clipped and not rounded; another shape than square is stretched.
    """
    pixels: np.ndarray = _clean_resizer()(np.asarray(image.convert("RGB")))
    return pixels


@cache
def _clean_resizer() -> Callable[[np.ndarray], np.ndarray]:
    from cleanfid.resize import build_resizer

    resizer: Callable[[np.ndarray], np.ndarray] = build_resizer("clean")
    return resizer
