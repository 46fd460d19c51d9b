"""The image codec of the autoregressive head: a VQ tokenizer whose codes are an image's tokens in raster order.

transformers' ``JanusVQVAE``, which is LlamaGen's VQ-16 (Sun et al. 2024): 16 384 codes of 8 channels, 16 pixels a
side. Features and codebook rows are compared on the unit sphere; transformers' own encoder leaves that out.

Legend: B images, S image side, N codes of an image, K codes in the codebook.
"""

from __future__ import annotations

import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from transformers import JanusVQVAE

from janusflow.models.codec import ImageCodec


class VQCodec(ImageCodec):
    """Images in [-1, 1] to codes (B, N) and back."""

    folder = "vq"
    module: JanusVQVAE

    @classmethod
    def from_pretrained(cls, path: str | Path, revision: str | None = None) -> VQCodec:
        """Load a transformers ``JanusVQVAE``: a folder or a hub id.

        Raises ``ValueError`` with the path where there is none or it cannot be read.
        """
        try:
            vq = JanusVQVAE.from_pretrained(
                str(path), revision=revision, dtype=torch.float32, use_safetensors=True, low_cpu_mem_usage=False
            )
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise ValueError(f"cannot load a VQ tokenizer from {path}: {str(error).strip().splitlines()[0]}") from error
        return cls(vq)

    def save(self, path: str | Path) -> None:
        vq = copy.deepcopy(self.module).float()
        if all(torch.equal(p.half().float(), p) for p in vq.parameters()):
            vq.half()
        vq.config._name_or_path = ""  # where it was loaded from is nobody's business
        vq.save_pretrained(path)

    @property
    def factor(self) -> int:
        return 2 ** (len(self.module.config.channel_multiplier) - 1)

    @property
    def codebook_size(self) -> int:
        """K."""
        return self.module.config.num_embeddings

    @property
    def codebook(self) -> Tensor:
        """The codes' rows on the unit sphere, (K, C) in fp32."""
        return F.normalize(self.module.quantize.embedding.weight.float(), dim=-1)

    def latent_shape(self, side: int) -> tuple[int]:
        return ((side // self.factor) ** 2,)

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> codes (B, N): of each position the codebook's row at the smallest angle."""
        self._check_sides(pixels)
        with torch.autocast(pixels.device.type, enabled=False):
            features = self.module.quant_conv(self.module.encoder(pixels.to(self.dtype))).float()
            positions = F.normalize(rearrange(features, "b c h w -> b (h w) c"), dim=-1)
            return (positions @ self.codebook.T).argmax(-1)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Codes (B, N) -> images (B, 3, S, S), clamped to [-1, 1], fp32. Raises ``ValueError`` for other shapes."""
        with torch.autocast(latents.device.type, enabled=False):
            return self.module.decode(latents).float().clamp(-1, 1)
