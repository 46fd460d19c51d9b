"""The small VAE: diffusers' ``AutoencoderDC`` on rendered scenes, scaled to latents of unit variance.

Its residual shortcuts between pixels and channels (Chen et al. 2024, arXiv:2410.10733) learn faster than
``AutoencoderKL``'s convolutions of every pixel do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderDC
from torch import Tensor

from janusflow.data.transforms import to_tensor
from janusflow.models.flow_head import FlowHeadConfig
from janusflow.parts.loop import fit
from janusflow.worlds.placement import LEVELS, Level
from janusflow.worlds.scenes import Split, World, sample_scene

BATCH = 8  # many small steps
WIDTHS, BLOCKS = (32, 64, 128), (0, 2, 2)  # of each resolution, from the picture's to the latents'
KL_WEIGHT = 1e-3  # per latent element, against a mean error per pixel
NOISE = 0.15  # standard deviation of the posterior in training
EDGE_WEIGHT = 4.0  # of the squared error, which edges dominate, against the absolute error
STATISTICS_IMAGES = 512
HELD_OUT_EVERY = 5  # scenes


def scenes(cast: str, seed: int, first: int, count: int, levels: Sequence[Level] = LEVELS) -> Tensor:
    """Rendered scenes (count, 3, S, S) in [-1, 1] of the levels, some held out: a codec knows no compositions."""
    pictures = []
    for index in range(first, first + count):
        split: Split = "held_out" if index % HELD_OUT_EVERY == 0 else "train"
        world = World(cast, levels[index % len(levels)])
        scene = sample_scene(np.random.default_rng([seed, index]), None, split, world)
        pictures.append(to_tensor(scene.render()))
    return torch.stack(pictures)


def train_vae(cast: str, seed: int, steps: int, state: Path) -> tuple[AutoencoderDC, dict[str, float]]:
    """A VAE with 4 x 4 pixels per latent position, and its figures: PSNR in dB and the posterior's relative noise."""
    torch.manual_seed(seed)
    none = ((),) * len(WIDTHS)
    vae = AutoencoderDC(
        latent_channels=FlowHeadConfig.latent_channels,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=WIDTHS,
        decoder_block_out_channels=WIDTHS,
        encoder_layers_per_block=BLOCKS,
        decoder_layers_per_block=BLOCKS,
        encoder_qkv_multiscales=none,
        decoder_qkv_multiscales=none,
        downsample_block_type="pixel_unshuffle",
        upsample_block_type="pixel_shuffle",
    )

    def loss(step: int) -> Tensor:
        pixels = scenes(cast, seed, step * BATCH, BATCH)
        mean = vae.encode(pixels).latent
        error = vae.decode(mean + NOISE * torch.randn_like(mean)).sample.float() - pixels
        kl = 0.5 * mean.float().square().mean()  # but for what does not depend on the weights
        return error.abs().mean() + EDGE_WEIGHT * error.square().mean() + KL_WEIGHT * kl

    fit("vae", vae, loss, steps, lr=2e-3, state=state)
    with torch.no_grad():
        held = scenes(cast, seed + 1, 0, STATISTICS_IMAGES)
        mean = vae.encode(held).latent
        mse = F.mse_loss(vae.decode(mean).sample.clamp(-1, 1), held).item()
        spread = mean.std().item()
        vae.register_to_config(scaling_factor=round(1 / spread, 5))
    return vae, {"psnr_db": 10 * float(np.log10(4 / mse)), "posterior_noise": NOISE / spread}
