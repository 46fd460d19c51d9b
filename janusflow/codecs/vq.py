"""The image codec of the autoregressive head: a VQ tokenizer whose codes are an image's tokens in raster order.

transformers' ``JanusVQVAE``, which is LlamaGen's VQ-16 (Sun et al. 2024): 16 384 codes of 8 channels, 16 pixels a
side. Features and codebook rows are compared on the unit sphere; transformers' own encoder leaves that out.

Legend: B images, S image side, N codes of an image, K codes in the codebook.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from transformers import JanusVQVAE, JanusVQVAEConfig

from janusflow.codecs.base import ImageCodec
from janusflow.weights import building, follow_umask, load_weights, model_folder, read_json_object, safetensors_files

TOGETHER = 16  # images encoded at once: the first layers' activations are large


class VQCodec(ImageCodec):
    """Images in [-1, 1] to codes (B, N) and back."""

    folder, what, unit = "vq", "a VQ tokenizer", "codes"
    module: JanusVQVAE

    @classmethod
    def from_pretrained(cls, path: str | Path, revision: str | None = None) -> VQCodec:
        """Load a transformers ``JanusVQVAE``: a folder or a hub id.

        Raises ``ValueError`` with the path where there is none, it is damaged, or its parameters do not fit.
        """
        folder = model_folder(path, revision)
        values = read_json_object(folder / "config.json")
        with building(folder / "config.json", "VQ tokenizer"):
            vq = JanusVQVAE(JanusVQVAEConfig.from_dict(values))
        load_weights(vq, safetensors_files(folder), dtype=torch.float32)
        codec = cls(vq)
        codec.read_beside(folder)
        return codec

    def save(self, path: str | Path) -> None:
        vq = copy.deepcopy(self.module).float()
        if all(torch.equal(p.half().float(), p) for p in vq.parameters()):
            vq.half()
        vq.config._name_or_path = ""  # where it was loaded from is nobody's business
        vq.save_pretrained(path)
        follow_umask(Path(path).glob("*.safetensors"))
        self.write_beside(Path(path))

    @property
    def factor(self) -> int:
        return 2 ** (len(self.module.config.channel_multiplier) - 1)

    @property
    def size(self) -> int:
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
            return torch.cat([self._nearest(part) for part in pixels.to(self.dtype).split(TOGETHER)])

    def _nearest(self, pixels: Tensor) -> Tensor:
        features = self.module.quant_conv(self.module.encoder(pixels)).float()
        positions = F.normalize(rearrange(features, "b c h w -> b (h w) c"), dim=-1)
        return (positions @ self.codebook.T).argmax(-1)

    @torch.no_grad()
    def decode(self, latents: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """Codes (B, N) of images of ``grid`` (default: square) -> (B, 3, H, W), clamped to [-1, 1], fp32.

        Raises ``ValueError`` for another number of codes.
        """
        down, across = grid or (math.isqrt(latents.shape[1]),) * 2
        if down * across != latents.shape[1]:
            told = f"an image of {down} x {across} codes has {down * across}"
            told = "the codes of a square image are a square number" if grid is None else told
            raise ValueError(f"{told}, not {latents.shape[1]}")
        with torch.autocast(latents.device.type, enabled=False):
            rows = rearrange(self.codebook[latents], "b (h w) c -> b c h w", h=down).contiguous().to(self.dtype)
            return self.module.decoder(self.module.post_quant_conv(rows)).float().clamp(-1, 1)
