"""Shared by the tests: where reference data is, and models small enough to build in milliseconds."""

import ast
import dataclasses
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything reads it: no test waits for a network

import pytest
import torch
from transformers import JanusVQVAE, JanusVQVAEConfig

from janusflow.checkpoints.pretrained import Bundle
from janusflow.codecs.vae import LatentCodec
from janusflow.codecs.vq import VQCodec
from janusflow.data.template import ChatConfig
from janusflow.data.tokenizer import TextTokenizer
from janusflow.data.transforms import Preprocessing
from janusflow.losses import AnswerLossConfig, LossConfig
from janusflow.models.ar_head import ARHeadConfig
from janusflow.models.flow_head import FlowHeadConfig
from janusflow.models.llm import LLMConfig
from janusflow.models.unified import ModelConfig, UnifiedModel
from janusflow.models.vision import VisionConfig
from janusflow.repa import RepaConfig
from janusflow.weights import ASSETS

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference outputs and data beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"reference data is absent: {SHARED}")
    return SHARED


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder outside of the repository with the files of ``examples/``, as of a user who copied them."""
    for path in (ROOT / "examples").glob("*.py"):
        shutil.copy(path, tmp_path)
        monkeypatch.delitem(sys.modules, path.stem, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    return tmp_path


def documented_commands(example: str) -> list[list[str]]:
    """The commands in the first lines of a file of ``examples/``, in words."""
    text = ast.get_docstring(ast.parse((ROOT / "examples" / example).read_text(encoding="utf-8"))) or ""
    return [shlex.split(line) for line in re.findall(r"^    (\S.*)$", text, re.MULTILINE)]


@pytest.fixture
def tiny_config() -> ModelConfig:
    return flow_sizes()


def flow_sizes() -> ModelConfig:
    """Every part of the model at the least size that exercises it: 16 x 16 pixels, a 4 x 4 token grid."""
    return ModelConfig(
        llm=LLMConfig(640, 32, 64, num_layers=3, num_heads=2, num_kv_heads=2, max_positions=256),
        vision=VisionConfig(image_size=16, patch_size=4, width=24, depth=2, num_heads=2),
        head=FlowHeadConfig(latent_channels=4, latent_size=8, width=16, encoder_blocks=1, decoder_blocks=1),
        losses={"ar": AnswerLossConfig(), "image": LossConfig("image"), "repa": RepaConfig(block=1, hidden_size=16)},
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
def tiny_janus_config() -> ModelConfig:
    return janus_sizes()


def janus_sizes() -> ModelConfig:
    """The discrete twin of ``flow_sizes`` as Janus has it: 4 x 4 codes of a codebook of 64."""
    flow = flow_sizes()
    return ModelConfig(
        llm=flow.llm,
        vision=dataclasses.replace(flow.vision, aligner_depth=2, begin_embed=False),
        head=ARHeadConfig(codebook_size=64, code_channels=8, grid=4, aligner_depth=2, head_width=32),
        losses={"ar": AnswerLossConfig(), "image": LossConfig("image")},
    )


@pytest.fixture
def tiny_janus(tiny_janus_config: ModelConfig) -> UnifiedModel:
    return build_janus(tiny_janus_config)


def build_janus(config: ModelConfig) -> UnifiedModel:
    """A tiny Janus in eval mode, whose logits are far enough apart to tell."""
    torch.manual_seed(1)
    return spread(UnifiedModel(config).eval())


@pytest.fixture
def tiny_vq() -> VQCodec:
    return build_vq()


def build_vq() -> VQCodec:
    """A VQ tokenizer for ``tiny_janus``: 4 x 4 pixels a code."""
    torch.manual_seed(2)
    sizes = {"base_channels": 32, "channel_multiplier": [1, 1, 2], "num_res_blocks": 1, "latent_channels": 16}
    return VQCodec(spread(JanusVQVAE(JanusVQVAEConfig(embed_dim=8, num_embeddings=64, num_patches=4, **sizes))))


@pytest.fixture
def janus_bundle(tiny_janus, tiny_vq, tokenizer) -> Bundle:
    """A tiny Janus with everything around it, nothing of which is a default."""
    pixels = Preprocessing(min_side=3, normalize=False, mean=[0.1, 0.2, 0.3])
    return Bundle(tiny_janus, tiny_vq, tokenizer, ChatConfig("A", "B", "Be brief."), pixels)


@pytest.fixture
def flow_bundle(tiny_model, tokenizer) -> Bundle:
    """A tiny JanusFlow with everything around it; pictures of 32 x 32 pixels."""
    codec = LatentCodec.from_pretrained(ASSETS / "shapes" / "vae")
    chat = ChatConfig(user="<|User|>", assistant="<|Assistant|>", system="Be brief.")
    return Bundle(tiny_model, codec, tokenizer, chat, Preprocessing(min_side=3, normalize=False, mean=[0.1, 0.2, 0.3]))


@torch.no_grad()
def spread(module):
    """``module`` with random weights that keep the size of what passes through."""
    for name, parameter in module.named_parameters():
        if parameter.dim() > 1:
            parameter.normal_(std=parameter[0].numel() ** -0.5)
        else:
            parameter.normal_(float(name.endswith("weight")), 0.1)
    return module


@pytest.fixture(scope="session")
def tokenizer() -> TextTokenizer:
    """The shapes world's tokenizer."""
    return TextTokenizer.from_file(ASSETS / "shapes" / "tokenizer.json")
