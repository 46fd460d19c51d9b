"""Two tiny random models of the shapes world's image size, one of each head, as folders."""

import gc

import pytest
import torch
from transformers import JanusVQVAE, JanusVQVAEConfig

from janusflow.checkpoints.pretrained import Bundle, save_pretrained
from janusflow.codecs.vae import LatentCodec
from janusflow.codecs.vq import VQCodec
from janusflow.losses import AnswerLossConfig, LossConfig
from janusflow.models.ar_head import ARHeadConfig
from janusflow.models.flow_head import FlowHeadConfig
from janusflow.models.llm import LLMConfig
from janusflow.models.unified import ModelConfig, UnifiedModel
from janusflow.models.vision import VisionConfig
from janusflow.weights import ASSETS
from tests.eval.judges import blip_folder, clip_folder, detector_folder, vilt_folder  # noqa: F401 - fixtures

LLM = LLMConfig(640, 32, 64, num_layers=2, num_heads=2, num_kv_heads=2, max_positions=256)


SMALL_VQ = JanusVQVAEConfig(
    **{"base_channels": 32, "channel_multiplier": [1, 1, 1, 1, 1], "num_res_blocks": 1, "latent_channels": 32},
    **{"num_patches": 3, "embed_dim": 4, "num_embeddings": 32},
)
HEADS = {
    "flow": FlowHeadConfig(latent_channels=4, latent_size=12, width=16, encoder_blocks=1, decoder_blocks=1),
    "ar": ARHeadConfig(codebook_size=32, code_channels=4, grid=3, head_width=16),
}


def build(head, tokenizer, seed=0):
    """A random model of this head with its codec."""
    torch.manual_seed(seed)
    losses = {"ar": AnswerLossConfig(), "image": LossConfig("image")}
    vision = VisionConfig(image_size=48, patch_size=48 // HEADS[head].grid, width=24, depth=1, num_heads=2)
    model = UnifiedModel(ModelConfig(LLM, vision, HEADS[head], losses)).eval()
    codec = LatentCodec.from_pretrained(ASSETS / "shapes" / "vae") if head == "flow" else VQCodec(JanusVQVAE(SMALL_VQ))
    return Bundle(model, codec, tokenizer)


@pytest.fixture(scope="session", autouse=True)
def frozen():
    """A run collects garbage at its end; looking through all that the libraries brought is a third of its time."""
    import eval.runner
    import eval.worlds.judge  # noqa: F401

    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def bundles(tokenizer):
    """Both heads: {"flow": …, "ar": …}."""
    return {head: build(head, tokenizer) for head in ("flow", "ar")}


@pytest.fixture(scope="session")
def models(tmp_path_factory, bundles, tokenizer):
    """Their folders, and another training seed of the second."""
    folder = tmp_path_factory.mktemp("models")
    for name, bundle in {**bundles, "ar2": build("ar", tokenizer, seed=1)}.items():
        save_pretrained(bundle, folder / name)
    return folder
