"""The small VAE: diffusers' ``AutoencoderKL`` on rendered scenes, scaled to latents of unit variance."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from janusflow.data.transforms import to_tensor
from janusflow.parts.loop import fit
from janusflow.worlds.shapes import render, sample_scene

BATCH = 32
KL_WEIGHT = 1e-3  # per latent element, against a mean error per pixel
EDGE_WEIGHT = 4.0  # of the squared error, which edges dominate, against the absolute error
STATISTICS_IMAGES = 512


def scenes(seed: int, first: int, count: int, size: int) -> Tensor:
    """Rendered training scenes (count, 3, size, size) in [-1, 1]."""
    pictures = []
    for index in range(first, first + count):
        pictures.append(to_tensor(render(sample_scene(np.random.default_rng([seed, index])), size)))
    return torch.stack(pictures)


def train_vae(seed: int, image_size: int, latent_channels: int, steps: int) -> tuple[AutoencoderKL, dict[str, float]]:
    """A VAE with 4 x 4 pixels per latent position, and its figures: PSNR in dB and the latents' spread."""
    torch.manual_seed(seed)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(24, 48, 64),
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=8,
        sample_size=image_size,
        mid_block_add_attention=False,
    ).to(memory_format=torch.channels_last)

    def loss(step: int) -> Tensor:
        pixels = scenes(seed, step * BATCH, BATCH, image_size).to(memory_format=torch.channels_last)
        posterior = vae.encode(pixels).latent_dist
        error = vae.decode(posterior.sample()).sample.float() - pixels
        kl = 0.5 * (posterior.mean.float() ** 2 + posterior.var.float() - 1 - posterior.logvar.float()).mean()
        return error.abs().mean() + EDGE_WEIGHT * error.square().mean() + KL_WEIGHT * kl

    fit("vae", vae, loss, steps, lr=2e-3)
    with torch.no_grad():
        held = scenes(seed + 1, 0, STATISTICS_IMAGES, image_size)
        posterior = vae.encode(held).latent_dist
        mse = F.mse_loss(vae.decode(posterior.mode()).sample.clamp(-1, 1), held).item()
        vae.register_to_config(scaling_factor=round(1 / posterior.sample().std().item(), 5))
        noise = (posterior.std.mean() / posterior.mean.std()).item()
    return vae, {"psnr_db": 10 * float(np.log10(4 / mse)), "posterior_noise": noise}
