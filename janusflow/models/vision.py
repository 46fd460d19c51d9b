"""The understanding encoder: SigLIP's vision transformer and the aligner into the LLM's width.

Legend: B images, N patches in raster order, C SigLIP width, D LLM hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from janusflow.models.mlp import mlp
from janusflow.models.sizes import check_positive, check_whole


@dataclass
class VisionConfig:
    """Sizes of the SigLIP tower. The defaults are SigLIP-Large/16 at 384 pixels."""

    image_size: int = 384
    patch_size: int = 16
    width: int = 1024
    depth: int = 24
    num_heads: int = 16
    mlp_ratio: float = 4.0
    aligner_depth: int = 1  # linear layers into the LLM; Janus: 2
    begin_embed: bool = True  # a learned embedding in front of an image; Janus: the begin-of-image token's own

    def __post_init__(self) -> None:
        check_whole(self, "vision", "image_size", "patch_size", "width", "depth", "num_heads", "aligner_depth")
        check_positive(self, "vision", "mlp_ratio")
        if self.image_size % self.patch_size:
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")
        if self.width % self.num_heads:
            raise ValueError(f"vision width {self.width} is not a multiple of num_heads {self.num_heads}")

    @property
    def grid(self) -> int:
        """Patches along one side."""
        return self.image_size // self.patch_size


def build_tower(config: VisionConfig) -> VisionTransformer:
    """SigLIP's image tower: no class token, attention pooling (used by the contrastive loss only), no classifier."""
    return VisionTransformer(
        img_size=config.image_size,
        patch_size=config.patch_size,
        embed_dim=config.width,
        depth=config.depth,
        num_heads=config.num_heads,
        mlp_ratio=config.mlp_ratio,
        class_token=False,
        global_pool="map",
        num_classes=0,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )


class VisionEncoder(nn.Module):
    """f_enc with its aligner and, in JanusFlow, the learned begin-of-understanding embedding.

    The ablations see with other features, of ``feature_size`` channels, and need the tower for REPA only or not at
    all.
    """

    def __init__(self, config: VisionConfig, llm_size: int, feature_size: int, tower: bool = True) -> None:
        super().__init__()
        self.config = config
        self.tower = build_tower(config) if tower else None
        self.aligner = mlp(feature_size, llm_size, config.aligner_depth)
        self.begin_embed = nn.Parameter(torch.randn(1, llm_size) * llm_size**-0.5) if config.begin_embed else None

    @property
    def blocks(self) -> list[nn.Module]:
        """The tower's transformer blocks."""
        return [] if self.tower is None else list(self.tower.blocks)

    def features(self, pixels: Tensor, any_shape: bool = False) -> Tensor:
        """Patch features after the last block and norm: pixels (B, 3, H, W) in [-1, 1] -> (B, N, C).

        any_shape: also for images of other shapes than the tower's square, with positions interpolated to their grid.
        """
        assert self.tower is not None, "this model was built without SigLIP"
        side, patch = self.config.image_size, self.config.patch_size
        if pixels.shape[1:] == (3, side, side):
            return self.tower.forward_features(pixels)
        if not any_shape:
            raise ValueError(f"SigLIP takes (B, 3, {side}, {side}) pixels, got {tuple(pixels.shape)}")
        if pixels.shape[1] != 3 or pixels.shape[2] % patch or pixels.shape[3] % patch:
            raise ValueError(f"SigLIP takes (B, 3, H, W) pixels in patches of {patch}, got {tuple(pixels.shape)}")
        patches = self.tower.patch_embed.proj(pixels)
        positions = resample_abs_pos_embed(
            self.tower.pos_embed, list(patches.shape[2:]), [self.config.grid] * 2, num_prefix_tokens=0
        )
        x = self.tower.norm_pre(patches.flatten(2).transpose(1, 2) + positions.to(patches.dtype))
        return self.tower.norm(self.tower.blocks(x))

    def span(self, features: Tensor) -> Tensor:
        """What stands for an image in the LLM's sequence: features (B, N, C) -> (B, 1 + N or N, D)."""
        tokens = self.aligner(features)
        if self.begin_embed is None:
            return tokens
        begin = self.begin_embed.expand(len(tokens), 1, -1)
        return torch.cat([begin.to(tokens.dtype), tokens], dim=1)
