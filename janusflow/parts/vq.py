"""The small VQ tokenizer: transformers' ``JanusVQVAE`` on rendered scenes, one code for each image token.

Trained as an autoencoder on the unit sphere first; the codebook then starts from recent features, and codes that
nothing uses are put where features are (as in VQ-GAN codebook resets).

Legend: B images, C channels of a code, P positions of a batch, K codes in the codebook.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import JanusVQVAE, JanusVQVAEConfig

from janusflow.codecs.vq import VQCodec
from janusflow.parts.loop import fit
from janusflow.parts.vae import EDGE_WEIGHT, STATISTICS_IMAGES, scenes
from janusflow.worlds.casts import cast_of
from janusflow.worlds.placement import Level

CODES = {"shapes": 2048, "objects": 4096}
CODE_CHANNELS = 8
BATCH = 32  # with 8, as many scenes leave more that the rules refuse
# How scenes are placed that the codes have to show: so few cannot show freely placed shapes.
PLACED: dict[str, tuple[Level, ...]] = {"shapes": ("fixed",), "objects": ("free",)}
LEVELS = (1, 2, 2, 4)  # channels relative to the first level's; the sides halve between levels
BASE_CHANNELS = 32
COMMITMENT = 0.25  # weight of the features' distance to their codes (van den Oord et al. 2017, Eq. 3)
CONTINUOUS = 0.25  # share of the steps before codes are used
RESETS_END = 0.8  # share of the steps after which unused codes stay where they are
RESET_EVERY = 50  # steps
RECENT = 8192  # features that the codebook starts from, and that codes are put to


def train_vq(cast: str, seed: int, steps: int, state: Path) -> tuple[JanusVQVAE, dict[str, float]]:
    """A VQ tokenizer with 8 x 8 pixels a code, and its figures: PSNR in dB, the share of codes in use, bits a code."""
    torch.manual_seed(seed)
    vq = JanusVQVAE(
        JanusVQVAEConfig(
            embed_dim=CODE_CHANNELS,
            num_embeddings=CODES[cast],
            latent_channels=64,
            base_channels=BASE_CHANNELS,
            channel_multiplier=list(LEVELS),
            num_res_blocks=1,
            num_patches=cast_of(cast).image_size // 2 ** (len(LEVELS) - 1),
        )
    )  # channels first: the backward pass of the many group norms is much slower on channels-last memory
    codebook = vq.quantize.embedding.weight
    vq.register_buffer("used", used := torch.zeros(CODES[cast]))  # how often each was, since the last reset
    vq.register_buffer("recent", recent := torch.zeros(RECENT, CODE_CHANNELS))
    first, last = round(CONTINUOUS * steps), round(RESETS_END * steps)

    def reset(unused: Tensor) -> None:
        """Put the unused codes where randomly chosen recent features are, a little apart."""
        chosen = torch.randint(RECENT, (int(unused.sum()),))
        noise = 0.02 * torch.randn(len(chosen), CODE_CHANNELS)
        with torch.no_grad():
            codebook[unused] = F.normalize(recent[chosen] + noise, dim=-1)

    def loss(step: int) -> Tensor:
        pixels = scenes(cast, seed, step * BATCH, BATCH, PLACED[cast])
        features = F.normalize(vq.quant_conv(vq.encoder(pixels)).float(), dim=1)  # (B, C, h, w)
        extra = torch.zeros(())
        quantized = features
        flat = features.detach().permute(0, 2, 3, 1).flatten(0, 2)
        recent[torch.arange(step * len(flat), (step + 1) * len(flat)) % RECENT] = flat
        if step >= first:
            if step == first or (step < last and step % RESET_EVERY == 0):
                reset(used == 0)
                used.zero_()
            codes = (flat @ F.normalize(codebook.detach(), dim=-1).T).argmax(-1)
            used.index_add_(0, codes, torch.ones(len(codes)))
            rows = F.normalize(F.embedding(codes, codebook), dim=-1).view(len(pixels), *features.shape[2:], -1)
            rows = rows.permute(0, 3, 1, 2)
            extra = (rows - features.detach()).square().mean() + COMMITMENT * (rows.detach() - features).square().mean()
            quantized = features + (rows - features).detach()
        error = vq.decoder(vq.post_quant_conv(quantized)).float() - pixels
        return error.abs().mean() + EDGE_WEIGHT * error.square().mean() + extra

    fit("vq", vq, loss, steps, lr=2e-3, state=state)
    del vq.used, vq.recent
    codec = VQCodec(vq)
    held = scenes(cast, seed + 1, 0, STATISTICS_IMAGES, PLACED[cast])
    codes = codec.encode(held)
    mse = F.mse_loss(codec.decode(codes), held).item()
    share = codes.flatten().bincount(minlength=CODES[cast]) / codes.numel()
    return vq, {
        "psnr_db": 10 * float(np.log10(4 / mse)),
        "codes_in_use": (share > 0).float().mean().item(),
        "bits_per_code": -(share[share > 0] * share[share > 0].log2()).sum().item(),
    }
