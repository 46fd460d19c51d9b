"""What turns pixels into the latents that a generation head models, and back: the common side of VAE and VQ tokenizer.

Legend: B images, S image side, C latent channels, s latent side, N tokens of an image.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from janusflow.codecs.beside import Figures, Latents, read_reconstructions, write_reconstructions


class ImageCodec(ABC):
    """A frozen autoencoder in eval mode, no part of any model's parameters.

    Its latents are continuous, (B, C, s, s) in fp32, or discrete, (B, N) codes.
    """

    folder: ClassVar[str]  # its name inside a model folder
    what: ClassVar[str]  # in errors
    unit: ClassVar[str]  # what its size counts

    def __init__(self, module: nn.Module) -> None:
        self.module = module.eval().requires_grad_(False)
        self.reconstructions: Figures = {}  # what it keeps of pictures, by where they come from (see .beside)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.module.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """In what the weights are stored and the convolutions computed."""
        return next(self.module.parameters()).dtype

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> ImageCodec:
        """Move the weights; returns self."""
        nn.Module.to(self.module, device, dtype)  # diffusers' own warns of nothing about every AutoencoderDC
        return self

    def tile(self, on: bool = True) -> ImageCodec:
        """Decode in overlapping tiles (or no more), which bounds the memory of large images; returns self.

        Raises ``ValueError`` for a codec that cannot.
        """
        if on:
            raise ValueError(f"a {type(self.module).__name__} decodes whole images only, not tiles")
        return self

    def give(self, latents: Latents) -> ImageCodec:
        """Have it give and take latents of that kind; returns self. Raises ``ValueError`` for a codec that cannot."""
        if latents != "scaled":
            raise ValueError(f"{self.what} gives no {latents} latents")
        return self

    @cached_property
    def digest(self) -> str:
        """The first 12 hex digits of the SHA-256 of the weights in fp32: the codec's name beside stored latents.

        Statistics that its latents are normalized by count as weights.
        """
        total = hashlib.sha256()
        for name, value in {**self.module.state_dict(), **self.applied}.items():
            total.update(name.encode())
            total.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return total.hexdigest()[:12]

    @property
    def applied(self) -> dict[str, Tensor]:
        """What else than the weights its latents depend on."""
        return {}

    @property
    @abstractmethod
    def size(self) -> int:
        """Channels of a latent, or codes of the codebook."""

    @property
    @abstractmethod
    def factor(self) -> int:
        """Pixels per latent position, along a side."""

    @abstractmethod
    def latent_shape(self, side: int) -> tuple[int, ...]:
        """The shape of an image's latents at ``side`` pixels, without the batch."""

    @abstractmethod
    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> latents. Raises ``ValueError`` for sides that the factor does not divide."""

    @abstractmethod
    def decode(self, latents: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """Latents -> images (B, 3, H, W), clamped to [-1, 1], fp32.

        grid: positions down and across, of codes that are no square; latents that are maps say it themselves.
        """

    @abstractmethod
    def save(self, path: str | Path) -> None:
        """Write a folder that ``checkpoints.codecs.load_codec`` reads, in fp16 where that loses nothing."""

    def read_beside(self, folder: Path) -> None:
        """Take what stands beside the weights in ``folder``. Raises ``ValueError`` where it is damaged."""
        self.reconstructions = read_reconstructions(folder)

    def write_beside(self, folder: Path) -> None:
        """Write what stands beside the weights."""
        if self.reconstructions:
            write_reconstructions(folder, self.reconstructions)

    def _check_sides(self, pixels: Tensor) -> None:
        if pixels.shape[-1] % self.factor or pixels.shape[-2] % self.factor:
            raise ValueError(f"image sides must be multiples of {self.factor}, got {tuple(pixels.shape[-2:])}")
