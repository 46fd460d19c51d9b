"""The shallow generation encoder and decoder: ConvNeXt blocks around the LLM, joined by a long skip.

JanusFlow Sec. 3.2 ("Decoupling Encoders"); block after ConvNeXt V2 (Woo et al. 2023), conditioned on time.

Legend: B images, C latent channels, H = W latent side, p patch size, h = w = H / p token grid, W_e encoder width,
D LLM hidden size (also the width of the time embedding).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from einops import rearrange
from torch import Tensor, nn

from janusflow.models.norm import RMSNorm

NORM_EPS = 1e-6


class GenerationFeatures(NamedTuple):
    """``map`` (B, W_e, h, w): the LLM's image tokens and the long skip. ``time`` (B, D): the time embedding."""

    map: Tensor
    time: Tensor


class GlobalResponseNorm(nn.Module):
    """x (1 + w g / mean_c g) + b, with g the L2 norm of a channel over the grid. Channels last: (B, h, w, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.bias = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        g = torch.linalg.vector_norm(x.float(), dim=(1, 2), keepdim=True)
        response = (g / (g.mean(dim=-1, keepdim=True) + NORM_EPS)).to(x.dtype)
        return x * (1 + self.weight * response) + self.bias


class ChannelRMSNorm(RMSNorm):
    """RMSNorm over the channels of a (B, C, h, w) map."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class ConvNeXtBlock(nn.Module):
    """Depthwise 7 x 7, inverted bottleneck with global response norm, residual, then scale and shift by time."""

    def __init__(self, channels: int, time_size: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, kernel_size=7, padding=3, groups=channels)
        self.norm = RMSNorm(channels, eps=NORM_EPS)
        self.channelwise_linear_1 = nn.Linear(channels, 4 * channels)
        self.channelwise_act = nn.GELU()
        self.channelwise_norm = GlobalResponseNorm(4 * channels)
        self.channelwise_linear_2 = nn.Linear(4 * channels, channels)
        self.cond_embeds_mapper = nn.Linear(time_size, 2 * channels)
        # Start unmodulated, as in adaLN-zero.
        nn.init.zeros_(self.cond_embeds_mapper.weight)
        nn.init.zeros_(self.cond_embeds_mapper.bias)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x: (B, C, h, w), time: (B, D) -> (B, C, h, w)."""
        inner = rearrange(self.depthwise(x), "b c h w -> b h w c")
        inner = self.channelwise_act(self.channelwise_linear_1(self.norm(inner)))
        inner = self.channelwise_linear_2(self.channelwise_norm(inner))
        x = x + rearrange(inner, "b h w c -> b c h w")
        scale, shift = rearrange(self.cond_embeds_mapper(F.silu(time)), "b (two c) -> two b c 1 1", two=2)
        return x * (1 + scale) + shift


class MidBlock(nn.Module):
    """A stack of conditioned ConvNeXt blocks at one resolution."""

    def __init__(self, channels: int, time_size: int, blocks: int) -> None:
        super().__init__()
        self.res_blocks = nn.ModuleList(ConvNeXtBlock(channels, time_size) for _ in range(blocks))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        for block in self.res_blocks:
            x = block(x, time)
        return x


class GenerationEncoder(nn.Module):
    """g_enc: a noisy latent and its time to a grid of features and the time embedding."""

    def __init__(self, latent_channels: int, width: int, patch_size: int, blocks: int, time_size: int) -> None:
        super().__init__()
        self.time_proj = Timesteps(width, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embed = TimestepEmbedding(width, time_size)
        self.in_conv = nn.Conv2d(latent_channels, width, kernel_size=patch_size, stride=patch_size)
        self.mid_block = MidBlock(width, time_size, blocks)

    def forward(self, z_t: Tensor, t: Tensor) -> GenerationFeatures:
        """z_t: (B, C, H, W); t: (B,) in [0, 1], embedded as 1000 t."""
        time = self.time_embed(self.time_proj(1000.0 * t.float()).to(self.in_conv.weight.dtype))
        return GenerationFeatures(self.mid_block(self.in_conv(z_t), time), time)


class IntervalEmbedding(nn.Module):
    """The length of an interval of time, (B,) in [0, 1], as what is added to the time embedding: nothing at first."""

    def __init__(self, width: int, time_size: int) -> None:
        super().__init__()
        self.time_proj = Timesteps(width, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embed = TimestepEmbedding(width, time_size)
        nn.init.zeros_(self.time_embed.linear_2.weight)
        nn.init.zeros_(self.time_embed.linear_2.bias)

    def forward(self, interval: Tensor) -> Tensor:
        """(B,) -> (B, D)."""
        return self.time_embed(self.time_proj(1000.0 * interval.float()).to(self.time_embed.linear_1.weight.dtype))


class Unpatch(nn.Module):
    """RMSNorm, 1 x 1 convolution, pixel shuffle: (B, channels, h, w) -> (B, out_channels, p h, p w)."""

    def __init__(self, channels: int, out_channels: int, patch_size: int) -> None:
        super().__init__()
        self.norm = ChannelRMSNorm(channels, eps=NORM_EPS)
        self.unpatch_conv = nn.Conv2d(channels, out_channels * patch_size**2, kernel_size=1)
        self.patch_size = patch_size

    def forward(self, x: Tensor) -> Tensor:
        patches = self.unpatch_conv(self.norm(x))  # nn.PixelShuffle has no backward pass for zero images
        return rearrange(patches, "b (c p q) h w -> b c (h p) (w q)", p=self.patch_size, q=self.patch_size)


class GenerationDecoder(nn.Module):
    """g_dec: the LLM's features and the encoder's skip to a velocity."""

    def __init__(self, latent_channels: int, width: int, patch_size: int, blocks: int, time_size: int) -> None:
        super().__init__()
        self.input_norm = ChannelRMSNorm(width, eps=NORM_EPS)
        self.mid_block = MidBlock(2 * width, time_size, blocks)
        self.out_convs = nn.Sequential(Unpatch(2 * width, latent_channels, patch_size))

    def forward(self, features: Tensor, skip: Tensor, time: Tensor) -> Tensor:
        """features, skip: (B, W_e, h, w); time: (B, D) -> velocity (B, C, H, W)."""
        x = torch.cat([self.input_norm(features), skip], dim=1)
        return self.out_convs(self.mid_block(x, time))
