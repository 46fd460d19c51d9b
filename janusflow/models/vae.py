"""The image codec of the flow head: a VAE whose latents are scaled to about unit variance.

The only place that knows a scaling factor. SDXL-VAE: ``stabilityai/sdxl-vae``, factor 0.13025, diffusers layout.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor


class LatentCodec:
    """Images in [-1, 1] to scaled latents and back. Frozen, in eval mode, and no part of any model's parameters."""

    def __init__(self, vae: AutoencoderKL) -> None:
        self.vae = vae.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> LatentCodec:
        """Load a diffusers ``AutoencoderKL`` folder or hub id.

        Raises ``ValueError`` with the path where there is none or it cannot be read.
        """
        try:
            vae = AutoencoderKL.from_pretrained(str(path), torch_dtype=torch.float32, low_cpu_mem_usage=False)
        except (OSError, RuntimeError, KeyError) as error:
            raise ValueError(f"cannot load a VAE from {path}: {str(error).splitlines()[0]}") from error
        return cls(vae)

    def to(self, device: torch.device) -> LatentCodec:
        """Move the weights; returns self."""
        self.vae.to(device)
        return self

    def save(self, path: str | Path) -> None:
        """Write a diffusers folder with fp16 weights."""
        copy.deepcopy(self.vae).half().save_pretrained(path, safe_serialization=True)

    @property
    def factor(self) -> int:
        """Pixels per latent position, along a side."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def channels(self) -> int:
        """Channels of a latent."""
        return self.vae.config.latent_channels

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> scaled latents (B, C, S / factor, S / factor) in fp32.

        The mode of the posterior: a draw would add noise that no flow can predict (the decoder saw draws when it was
        trained, and does not mind). Runs in fp32: SDXL-VAE overflows in fp16.
        """
        if pixels.shape[-1] % self.factor or pixels.shape[-2] % self.factor:
            raise ValueError(f"image sides must be multiples of {self.factor}, got {tuple(pixels.shape[-2:])}")
        with torch.autocast(pixels.device.type, enabled=False):
            return self.vae.encode(pixels.float()).latent_dist.mode() * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, C, s, s) -> images (B, 3, factor s, factor s), clamped to [-1, 1], fp32."""
        with torch.autocast(latents.device.type, enabled=False):
            return self.vae.decode(latents.float() / self.vae.config.scaling_factor).sample.clamp(-1, 1)
