"""The reduced JanusFlow against the reference implementation's outputs."""

import json
import zlib

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from janusflow.checkpoints.deepseek import JANUSFLOW_KEYS
from janusflow.inference.prompt_cache import PromptRunner
from janusflow.models.llm import LLMConfig
from janusflow.models.unified import ModelConfig, UnifiedModel
from janusflow.models.vision import VisionConfig
from janusflow.options import FlowSampling

TOLERANCE = 1e-5  # relative; the reference's own fp32 rounding is about 1e-6


def filled(key: str, shape: list[int]) -> torch.Tensor:
    """The stand-in weights that the reference ran with."""
    x = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape, dtype=np.float32)
    if len(shape) > 1:
        x = x / np.sqrt(np.prod(shape[1:]))
    elif key.endswith("weight"):
        x = 1 + 0.1 * x
    else:
        x = 0.02 * x
    return torch.from_numpy(x.astype(np.float32))


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.fixture(scope="module")
def reference(shared):
    folder = shared / "golden"
    settings = json.loads((folder / "janusflow_small.json").read_text())
    manifest = json.loads((folder / "janusflow_small.manifest.json").read_text())
    golden = load_file(folder / "janusflow_small.safetensors")
    config = ModelConfig(
        llm=LLMConfig(vocab_size=settings["vocab"], num_layers=settings["llm_layers"]),
        vision=VisionConfig(depth=settings["siglip_layers"]),
        losses={},
    )
    with torch.device("meta"):
        model = UnifiedModel(config)
    assert {JANUSFLOW_KEYS.stored(k): list(v.shape) for k, v in model.state_dict().items()} == manifest
    model = UnifiedModel(config).eval()
    model.load_state_dict({JANUSFLOW_KEYS.ours(key): filled(key, shape) for key, shape in manifest.items()})
    rng = np.random.default_rng(settings["seed"])
    z_0 = torch.from_numpy(rng.standard_normal((settings["batch"], 4, 48, 48), dtype=np.float32))
    pixels = torch.from_numpy(rng.uniform(-1, 1, (1, 2, 3, 384, 384)).astype(np.float32))[0]
    return model, settings, golden, z_0, pixels


@torch.inference_mode()
def test_generation_encoder_and_decoder(reference):
    model, _, golden, z_0, _ = reference
    features = model.head.encoder(z_0, golden["enc_t_unit"])
    assert relative(features.map[:, ::16], golden["enc_feature_map"]) < TOLERANCE
    assert relative(features.time, golden["enc_t_emb"]) < TOLERANCE
    assert relative(model.head.decoder(0.5 * features.map + 0.1, *features), golden["dec_velocity"]) < TOLERANCE


@torch.inference_mode()
@pytest.mark.parametrize(("t", "name"), [(0.0, "t0"), (0.5, "t05")])
def test_velocities_with_and_without_the_prompt(reference, t, name):
    model, settings, golden, z_0, _ = reference
    prompts = [settings["prompt_ids"]] * len(z_0)
    runner = PromptRunner(model.llm, prompts, 1 + model.head.num_tokens, [prompt[:1] for prompt in prompts])
    embeds, features = model.head.encode(z_0, torch.full((len(z_0),), t))
    hidden = runner(embeds.repeat(2, 1, 1)).chunk(2)
    v_cond, v_uncond = (model.head.decode(half, features) for half in hidden)
    assert relative(v_cond, golden[f"v_cond_{name}"]) < TOLERANCE
    assert relative(v_uncond, golden[f"v_uncond_{name}"]) < TOLERANCE
    difference = golden[f"v_cond_{name}"] - golden[f"v_uncond_{name}"]
    assert relative(v_cond - v_uncond, difference) < 1e-4


@torch.inference_mode()
def test_guided_sampling(reference):
    model, settings, golden, z_0, _ = reference
    prompts = [settings["prompt_ids"]] * len(z_0)
    runner = PromptRunner(model.llm, prompts, 1 + model.head.num_tokens, [prompt[:1] for prompt in prompts])
    z_1 = model.head.sample(runner, z_0, FlowSampling(settings["steps"], settings["cfg"]))
    assert relative(z_1, golden["z1"]) < TOLERANCE


@torch.inference_mode()
def test_understanding(reference):
    model, settings, golden, _, pixels = reference
    assert relative(model.vision.features(pixels)[:, ::64, ::8], golden["siglip_features"]) < TOLERANCE
    ids = golden["und_input_ids"]
    slots = (ids[0] == settings["image_id"]).nonzero().flatten().view(2, -1)
    slots = torch.cat([slots[:, :1] - 1, slots], dim=1)
    embeds = model.llm.embed(ids).clone()
    embeds[0, slots] = model.embed_understanding(pixels)
    answer = []
    for _ in golden["und_greedy"]:
        hidden = model.llm(embeds, torch.arange(embeds.shape[1]).unsqueeze(0)).hidden
        if not answer:
            assert relative(model.llm.logits(hidden[:, -8:]), golden["und_logits_tail"]) < TOLERANCE
        answer.append(int(model.llm.logits(hidden[:, -1]).argmax()))
        embeds = torch.cat([embeds, model.llm.embed(torch.tensor([[answer[-1]]]))], dim=1)
    assert answer == golden["und_greedy"].tolist()
