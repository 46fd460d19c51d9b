"""Shared by the tests: where reference data is, and models small enough to build in milliseconds."""

import dataclasses
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything reads it: no test waits for a network

import pytest
import torch
from transformers import JanusVQVAE, JanusVQVAEConfig

from janusflow.checkpoint import ASSETS
from janusflow.data.tokenizer import TextTokenizer
from janusflow.models.ar_head import ARHeadConfig
from janusflow.models.flow_head import FlowHeadConfig
from janusflow.models.llm import LLMConfig
from janusflow.models.unified import ModelConfig, UnifiedModel
from janusflow.models.vision import VisionConfig
from janusflow.models.vq import VQCodec
from janusflow.repa import RepaConfig

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference outputs and data beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"reference data is absent: {SHARED}")
    return SHARED


@pytest.fixture
def tiny_config() -> ModelConfig:
    """Every part of the model at the least size that exercises it: 16 x 16 pixels, a 4 x 4 token grid."""
    return ModelConfig(
        llm=LLMConfig(480, 32, 64, num_layers=3, num_heads=2, num_kv_heads=2, max_positions=256),
        vision=VisionConfig(image_size=16, patch_size=4, width=24, depth=2, num_heads=2),
        flow_head=FlowHeadConfig(latent_channels=4, latent_size=8, width=16, encoder_blocks=1, decoder_blocks=1),
        repa=RepaConfig(block=1, hidden_size=16),
    )


@pytest.fixture
def tiny_model(tiny_config: ModelConfig) -> UnifiedModel:
    """A tiny model in eval mode, with modulations and responses away from their zero start."""
    torch.manual_seed(0)
    model = UnifiedModel(tiny_config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "cond_embeds_mapper" in name or "channelwise_norm" in name:
                parameter.normal_(std=0.2)
    return model


@pytest.fixture
def tiny_ar_model(tiny_config: ModelConfig) -> UnifiedModel:
    """The tiny model with the discrete head, 50 codes, as in Janus: no REPA, two-layer aligners, no begin embedding."""
    vision = dataclasses.replace(tiny_config.vision, aligner_depth=2, begin_embed=False)
    codes = ARHeadConfig(codebook_size=50, code_channels=4, grid=4, head_width=24)
    torch.manual_seed(0)
    config = dataclasses.replace(
        tiny_config, vision=vision, head="ar", ar_head=codes, repa=RepaConfig(enabled=False), flow_head=FlowHeadConfig()
    )
    model = UnifiedModel(config).eval()
    with torch.no_grad():
        model.head.classifier.weight.mul_(8)  # away from equal probabilities
    return model


@pytest.fixture(scope="session")
def tiny_vq() -> VQCodec:
    """A random VQ tokenizer of 16 x 16 pixels: 4 x 4 codes out of 50."""
    torch.manual_seed(0)
    sizes = {"base_channels": 32, "channel_multiplier": [1, 1, 1], "num_res_blocks": 1, "latent_channels": 16}
    return VQCodec(JanusVQVAE(JanusVQVAEConfig(embed_dim=4, num_embeddings=50, num_patches=4, **sizes)))


@pytest.fixture(scope="session")
def tokenizer() -> TextTokenizer:
    """The shapes world's tokenizer."""
    return TextTokenizer.from_file(ASSETS / "shapes" / "tokenizer.json")
