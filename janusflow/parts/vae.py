"""The small VAE: diffusers' ``AutoencoderKL`` on rendered scenes, scaled to latents of unit variance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from janusflow.data.transforms import to_tensor
from janusflow.models.flow_head import FlowHeadConfig
from janusflow.parts.loop import fit
from janusflow.worlds.casts import cast_of
from janusflow.worlds.placement import LEVELS, Level
from janusflow.worlds.scenes import Split, World, sample_scene

BATCH = 8  # many small steps
KL_WEIGHT = 1e-3  # per latent element, against a mean error per pixel
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


def train_vae(cast: str, seed: int, steps: int, state: Path) -> tuple[AutoencoderKL, dict[str, float]]:
    """A VAE with 4 x 4 pixels per latent position, and its figures: PSNR in dB and the latents' spread."""
    torch.manual_seed(seed)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(24, 48, 64),
        layers_per_block=1,
        latent_channels=FlowHeadConfig.latent_channels,
        norm_num_groups=8,
        sample_size=cast_of(cast).image_size,
        mid_block_add_attention=False,
    )

    def loss(step: int) -> Tensor:
        pixels = scenes(cast, seed, step * BATCH, BATCH)
        posterior = vae.encode(pixels).latent_dist
        error = vae.decode(posterior.sample()).sample.float() - pixels
        kl = 0.5 * (posterior.mean.float() ** 2 + posterior.var.float() - 1 - posterior.logvar.float()).mean()
        return error.abs().mean() + EDGE_WEIGHT * error.square().mean() + KL_WEIGHT * kl

    fit("vae", vae, loss, steps, lr=2e-3, state=state)
    with torch.no_grad():
        held = scenes(cast, seed + 1, 0, STATISTICS_IMAGES)
        posterior = vae.encode(held).latent_dist
        mse = F.mse_loss(vae.decode(posterior.mode()).sample.clamp(-1, 1), held).item()
        vae.register_to_config(scaling_factor=round(1 / posterior.sample().std().item(), 5))
        noise = (posterior.std.mean() / posterior.mean.std()).item()
    return vae, {"psnr_db": 10 * float(np.log10(4 / mse)), "posterior_noise": noise}
