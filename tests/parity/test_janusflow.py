"""The reduced JanusFlow against the reference implementation's outputs."""

import json
import shutil
import zlib

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from janusflow.checkpoints.pretrained import load_pretrained
from janusflow.checkpoints.processor_files import RELEASED_SYSTEM
from janusflow.data.template import ChatConfig
from janusflow.data.transforms import Preprocessing
from janusflow.inference.prompt_cache import PromptRunner
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
def reference(shared, tmp_path_factory, small_tokenizer):
    """A folder as DeepSeek writes it, with official names and settings, is read with JanusFlow's defaults."""
    golden = shared / "golden"
    settings = json.loads((golden / "janusflow_small.json").read_text())
    manifest = json.loads((golden / "janusflow_small.manifest.json").read_text())
    config = json.loads((shared / "data" / "configs" / "janusflow-1.3b.config.INFERRED.json").read_text())
    config["language_config"] |= {"num_hidden_layers": settings["llm_layers"], "vocab_size": settings["vocab"]}
    config["vision_und_enc_config"]["params"]["select_layer"] = settings["siglip_layers"] - 25  # of 24 blocks
    folder = tmp_path_factory.mktemp("janusflow")
    (folder / "config.json").write_text(json.dumps(config))
    small_tokenizer.save(folder / "tokenizer.json")
    save_file({key: filled(key, shape) for key, shape in manifest.items()}, folder / "model.safetensors")
    bundle = load_pretrained(folder, vae=None)
    shutil.rmtree(folder)
    assert bundle.chat == ChatConfig("User", "Assistant", RELEASED_SYSTEM)
    assert bundle.preprocessing == Preprocessing() and bundle.model.head.num_tokens == 576
    rng = np.random.default_rng(settings["seed"])
    z_0 = torch.from_numpy(rng.standard_normal((settings["batch"], 4, 48, 48), dtype=np.float32))
    pixels = torch.from_numpy(rng.uniform(-1, 1, (1, 2, 3, 384, 384)).astype(np.float32))[0]
    return bundle.model, settings, load_file(golden / "janusflow_small.safetensors"), z_0, pixels


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
    answer = golden["und_greedy"]
    embeds = torch.cat([embeds, model.llm.embed(answer[None, :-1])], dim=1)
    hidden = model.llm(embeds, torch.arange(embeds.shape[1]).unsqueeze(0)).hidden
    logits = model.llm.logits(hidden[:, ids.shape[1] - 8 :])
    assert relative(logits[:, :8], golden["und_logits_tail"]) < TOLERANCE
    assert torch.equal(logits[0, 7:].argmax(-1), answer), "each token is the likeliest behind those before it"
