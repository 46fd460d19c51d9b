"""The image codec of the flow head: a VAE whose latents are scaled to about unit variance.

The only place that knows a scaling factor, and a shift: latents are (z - shift) * scale of what the VAE gives.
SDXL-VAE: ``stabilityai/sdxl-vae``, scale 0.13025, no shift, diffusers layout; those of SD3 and FLUX have a shift.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor

from janusflow.codecs.base import ImageCodec
from janusflow.weights import follow_umask, load_weights, model_folder

FILES = ("config.json", "diffusion_pytorch_model*.safetensors*")  # of a hub id
KINDS = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}


class LatentCodec(ImageCodec):
    """Images in [-1, 1] to scaled latents (B, C, s, s) and back."""

    folder, what, unit = "vae", "a VAE", "channels"
    module: AutoencoderKL | AutoencoderTiny

    def __init__(self, vae: AutoencoderKL | AutoencoderTiny) -> None:
        super().__init__(vae.to(memory_format=torch.channels_last))

    @classmethod
    def from_pretrained(cls, path: str | Path, revision: str | None = None) -> LatentCodec:
        """Load a diffusers ``AutoencoderKL`` or ``AutoencoderTiny``: a folder, a hub id, or TAESD's single file.

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
        return cls(vae)

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> LatentCodec:
        """Move the weights; returns self. Raises ``ValueError`` for fp16, in which SDXL-VAE's activations overflow."""
        if dtype == torch.float16 and isinstance(self.module, AutoencoderKL):
            raise ValueError("the SDXL-VAE overflows in float16 and draws black images: use float32 or bfloat16")
        super().to(device, dtype)
        return self

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
        """(B, 3, S, S) in [-1, 1] -> scaled latents (B, C, S / factor, S / factor) in fp32.

        The mode of the posterior: a draw would add noise that no flow can predict (the decoder saw draws when it was
        trained, and does not mind). Autocast never reaches it: SDXL-VAE overflows in fp16.
        """
        self._check_sides(pixels)
        with torch.autocast(pixels.device.type, enabled=False):
            encoded = self.module.encode(pixels.to(self.dtype))
        latents = encoded.latents if isinstance(self.module, AutoencoderTiny) else encoded.latent_dist.mode()
        return (latents.float() - self.shift) * self.module.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, C, s, s) -> images (B, 3, factor s, factor s), clamped to [-1, 1], fp32."""
        with torch.autocast(latents.device.type, enabled=False):
            unscaled = latents.float() / self.module.config.scaling_factor + self.shift
            return self.module.decode(unscaled.to(self.dtype)).sample.float().clamp(-1, 1)
