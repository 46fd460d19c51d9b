"""The image codec of the flow head: a VAE whose latents are scaled to about unit variance.

The only place that knows a scaling factor, and a shift: latents are (z - shift) * scale of what the VAE gives, or
(z - mean) / std of each channel where the head takes them ``normalized``. All in diffusers' layout:

- SDXL-VAE, ``stabilityai/sdxl-vae``: 4 channels, 8 pixels, scale 0.13025, no shift.
- The VAEs of SD3 and FLUX (``AutoencoderKL``): 16 channels, 8 pixels, with a shift.
- DC-AE (``AutoencoderDC``; Chen et al. 2024, arXiv:2410.10733): 32 channels, 32 pixels, no posterior.

Legend: B images, S image side, C latent channels, s latent side.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TypeAlias

import torch
from diffusers import AutoencoderDC, AutoencoderKL, AutoencoderTiny
from torch import Tensor

from janusflow.codecs.base import ImageCodec
from janusflow.codecs.beside import MEASURE, STATISTICS, Latents, Statistics, read_statistics, write_statistics
from janusflow.weights import follow_umask, load_weights, model_folder

FILES = ("config.json", "diffusion_pytorch_model*.safetensors*", STATISTICS)  # of a hub id
KINDS = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny, "AutoencoderDC": AutoencoderDC}
VAE: TypeAlias = AutoencoderKL | AutoencoderTiny | AutoencoderDC


class LatentCodec(ImageCodec):
    """Images in [-1, 1] to scaled latents (B, C, s, s) and back."""

    folder, what, unit = "vae", "a VAE", "channels"
    module: VAE

    def __init__(self, vae: VAE, statistics: Statistics | None = None) -> None:
        super().__init__(vae.to(memory_format=torch.channels_last))
        self.statistics = statistics
        self.normalized = False

    @classmethod
    def from_pretrained(cls, path: str | Path, revision: str | None = None) -> LatentCodec:
        """Load a diffusers VAE of the ``KINDS``: a folder, a hub id, or TAESD's single file.

        Raises ``ValueError`` with the path where there is none or it cannot be read.
        """
        if Path(path).suffix == ".safetensors":
            tiny = AutoencoderTiny()
            load_weights(tiny, [Path(path)], dtype=torch.float32)
            return cls(tiny)
        folder = model_folder(path, revision, FILES, "VAE")
        try:
            name = str(AutoencoderKL.load_config(str(folder)).get("_class_name"))
            if name not in KINDS:
                raise ValueError(f"it is a {name}, the codec takes {' or '.join(KINDS)}")
            vae, found = KINDS[name].from_pretrained(
                str(folder),
                torch_dtype=torch.float32,
                low_cpu_mem_usage=False,
                use_safetensors=True,
                output_loading_info=True,
            )
        except Exception as error:  # constructors raise whatever an odd size makes them stumble over
            raise ValueError(f"cannot load a VAE from {path}: {str(error).strip().splitlines()[0]}") from error
        if found["missing_keys"]:  # diffusers leaves them random
            raise ValueError(f"cannot load a VAE from {path}: its weights lack {sorted(found['missing_keys'])[0]}")
        codec = cls(vae)
        codec.read_beside(folder)
        return codec

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> LatentCodec:
        """Move the weights; returns self. Raises ``ValueError`` for fp16, in which SDXL-VAE's activations overflow."""
        if dtype == torch.float16 and isinstance(self.module, AutoencoderKL):
            raise ValueError("the SDXL-VAE overflows in float16 and draws black images: use float32 or bfloat16")
        super().to(device, dtype)
        return self

    def give(self, latents: Latents) -> LatentCodec:
        if latents == "normalized" and self.statistics is None:
            raise ValueError(f"the VAE has no statistics of its latents' channels to normalize them by: {MEASURE}")
        self.normalized = latents == "normalized"
        self.__dict__.pop("digest", None)
        return self

    @property
    def applied(self) -> dict[str, Tensor]:
        return self.statistics._asdict() if self.normalized and self.statistics is not None else {}

    def read_beside(self, folder: Path) -> None:
        super().read_beside(folder)
        self.statistics = read_statistics(folder, self.size)

    def write_beside(self, folder: Path) -> None:
        super().write_beside(folder)
        if self.statistics is not None:
            write_statistics(folder, self.statistics)

    def tile(self, on: bool = True) -> LatentCodec:
        if on:
            self.module.enable_tiling()
        else:
            self.module.disable_tiling()
        return self

    def save(self, path: str | Path) -> None:
        vae = copy.deepcopy(self.module).float()
        if all(torch.equal(p.half().float(), p) for p in vae.parameters()):
            vae.half()
        vae.register_to_config(_name_or_path="")  # where it was loaded from is nobody's business
        vae.save_pretrained(path, safe_serialization=True)
        follow_umask(Path(path).glob("*.safetensors"))
        self.write_beside(Path(path))

    @property
    def factor(self) -> int:
        channels = self.module.config.get("block_out_channels") or self.module.config.encoder_block_out_channels
        return 2 ** (len(channels) - 1)

    @property
    def size(self) -> int:
        """Channels of a latent."""
        return self.module.config.latent_channels

    @property
    def shift(self) -> float:
        """What is taken from the VAE's latents before they are scaled."""
        return self.module.config.get("shift_factor") or 0.0

    def latent_shape(self, side: int) -> tuple[int, int, int]:
        return self.size, side // self.factor, side // self.factor

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> scaled or normalized latents (B, C, S / factor, S / factor) in fp32.

        The mode of the posterior: a draw would add noise that no flow can predict (the decoder saw draws when it was
        trained, and does not mind). Autocast never reaches it: SDXL-VAE overflows in fp16.
        """
        offset, scale = self._affine(pixels.device)
        return (self.raw(pixels) - offset) * scale

    @torch.no_grad()
    def raw(self, pixels: Tensor) -> Tensor:
        """Latents (B, C, s, s) of (B, 3, S, S) in [-1, 1] as the VAE gives them, in fp32."""
        self._check_sides(pixels)
        with torch.autocast(pixels.device.type, enabled=False):
            encoded = self.module.encode(pixels.to(self.dtype))
        if isinstance(self.module, AutoencoderKL):
            return encoded.latent_dist.mode().float()
        return (encoded.latent if isinstance(self.module, AutoencoderDC) else encoded.latents).float()

    @torch.no_grad()
    def decode(self, latents: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """Scaled or normalized latents (B, C, s, s) -> images (B, 3, factor s, factor s), clamped to [-1, 1], fp32."""
        offset, scale = self._affine(latents.device)
        with torch.autocast(latents.device.type, enabled=False):
            unscaled = latents.float() / scale + offset
            return self.module.decode(unscaled.to(self.dtype)).sample.float().clamp(-1, 1)

    def _affine(self, device: torch.device) -> tuple[Tensor | float, Tensor | float]:
        """What is taken from the VAE's latents, and what they are multiplied by then."""
        if not self.applied:
            return self.shift, self.module.config.scaling_factor
        mean, std = (value.to(device).view(-1, 1, 1) for value in self.applied.values())
        return mean, 1 / std
