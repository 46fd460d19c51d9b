"""Pictures and a stand-in feature network for the tests of picture quality."""

from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn


class StandIn(nn.Module):
    """Clean-fid's pixels (B, 3, 299, 299) in 0..255 -> (B, 12): channel means of the picture's quarters."""

    def forward(self, pixels: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(pixels, 2).flatten(1) / 128 - 1


@cache
def script() -> bytes:
    buffer = BytesIO()
    torch.jit.save(torch.jit.script(StandIn()), buffer)
    return buffer.getvalue()


def stand_in(folder: Path, end: bytes = b"") -> Path:
    """The file of a stand-in extractor."""
    (folder / "standin.pt").write_bytes(script() + end)
    return folder / "standin.pt"


def picture(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """Coloured noise of two scales, another for each seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize(size)
    fine = rng.integers(-20, 21, (size[1], size[0], 3))
    return Image.fromarray((np.asarray(coarse, dtype=int) + fine).clip(0, 255).astype(np.uint8))


def write_pictures(folder: Path, names: list[str], first_seed: int = 0) -> None:
    """A PNG of each name, below ``folder``."""
    for seed, name in enumerate(names, first_seed):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(path)
