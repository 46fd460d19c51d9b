"""The reduced Janus, loaded from a folder as DeepSeek writes it, against the reference implementation's outputs."""

import copy
import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from janusflow.checkpoints.pretrained import load_pretrained, save_pretrained
from janusflow.inference.prompt_cache import PromptRunner
from janusflow.options import CodeSampling
from janusflow.weights import read_shapes, safetensors_files
from tests.parity.test_janusflow import filled, relative

TOLERANCE = 1e-5  # relative


@pytest.fixture(scope="module")
def reference(shared, tmp_path_factory, small_tokenizer):
    golden = shared / "golden"
    settings = json.loads((golden / "janus_ar_small.json").read_text())
    manifest = json.loads((golden / "janus_ar_small.manifest.json").read_text())
    released = shared / "data" / "configs" / "janus-1.3b_and_pro-1b.config.INFERRED.json"
    config = json.loads(released.read_text())
    config["language_config"] |= {"num_hidden_layers": settings["llm_layers"], "vocab_size": settings["vocab"]}
    config["vision_config"]["params"]["select_layer"] = settings["siglip_layers"] - 25  # of 24 blocks
    folder = tmp_path_factory.mktemp("janus")
    (folder / "config.json").write_text(json.dumps(config))
    small_tokenizer.save(folder / "tokenizer.json")
    save_file({key: filled(key, shape) for key, shape in manifest.items()}, folder / "model.safetensors")
    bundle = load_pretrained(folder)
    shutil.rmtree(folder)
    return bundle, settings, manifest, load_file(golden / "janus_ar_small.safetensors")


@pytest.fixture(scope="module")
def inputs(reference):
    """Teacher tokens, codes and pixels, as they were drawn for the reference."""
    _, settings, _, golden = reference
    rng = np.random.default_rng(settings["seed"])
    teacher = torch.from_numpy(rng.integers(0, 16_384, (settings["batch"], 24)))
    codes = torch.from_numpy(rng.integers(0, 16_384, (1, 576)))
    assert torch.equal(teacher, golden["teacher_tokens"]) and torch.equal(codes, golden["codes"])
    return teacher, codes, torch.from_numpy(rng.uniform(-1, 1, (1, 3, 384, 384)).astype(np.float32))


def runner(reference, tokens):
    """The LLM behind the prompts, conditional rows first; the others' prompts are padding between two tokens."""
    bundle, settings, _, _ = reference
    prompts = [settings["prompt_ids"]] * settings["batch"]
    dropped = [[prompt[0], *[settings["pad_id"]] * (len(prompt) - 2)] for prompt in prompts]
    return PromptRunner(bundle.model.llm, prompts, 1 + tokens, dropped)


def test_export_has_the_reference_s_keys_and_shapes(reference, tmp_path):
    bundle, _, manifest, _ = reference
    save_pretrained(bundle, tmp_path, "deepseek")
    shapes = {name: list(shape) for name, shape in read_shapes(safetensors_files(tmp_path)).items()}
    shutil.rmtree(tmp_path)
    assert shapes == manifest


@torch.inference_mode()
def test_teacher_forced_logits(reference, inputs):
    bundle, settings, _, golden = reference
    head, (teacher, _, _) = bundle.model.head, inputs
    span = runner(reference, teacher.shape[1])
    hidden = span(torch.cat([span.begin, head.embed(teacher).repeat(2, 1, 1)], dim=1))
    conditional = head.logits(hidden[: len(teacher)])
    assert relative(conditional[..., ::32], golden["cond_logits"]) < TOLERANCE
    halves = (rows.flatten(0, 1) for rows in hidden.chunk(2))
    guided = head.guided_logits(torch.cat(list(halves)), settings["cfg"]).view_as(conditional)
    assert relative(guided[..., ::32], golden["cfg_logits"]) < TOLERANCE
    step = settings["cfg"] - 1  # what guidance adds to the conditional logits, in units of their difference
    difference = (golden["cfg_logits"] - golden["cond_logits"]) / step
    assert relative((guided - conditional)[..., ::32] / step, difference) < TOLERANCE


@torch.inference_mode()
def test_greedy_codes(reference):
    bundle, settings, _, golden = reference
    head = copy.copy(bundle.model.head)
    head.config = dataclasses.replace(head.config, grid=4)  # the first 16 codes
    start = torch.zeros(settings["batch"], 16)
    codes = head.sample(runner(reference, 16), start, CodeSampling(settings["cfg"], temperature=0.0))
    assert torch.equal(codes, golden["greedy_tokens"])


def test_decoded_image(reference, inputs):
    """The reference's values are not clamped."""
    bundle, _, _, golden = reference
    wanted = golden["decoded"]
    decoded = bundle.codec.decode(inputs[1])[:, :, ::8, ::8]
    inside = wanted.abs() < 1
    assert inside.float().mean() > 0.8
    assert relative(decoded[inside], wanted[inside]) < TOLERANCE
    assert relative(decoded, wanted.clamp(-1, 1)) < TOLERANCE


def test_codes_of_an_image(reference, inputs):
    bundle, _, _, golden = reference
    assert torch.equal(bundle.codec.encode(inputs[2]), golden["encoded_codes"])


@torch.inference_mode()
def test_understanding(reference, inputs):
    bundle, settings, _, golden = reference
    model = bundle.model
    image = [settings["boi"], *[settings["image_id"]] * 576, settings["eoi"]]
    ids = torch.tensor([[1, 17, 45, *image, 70, 71, 72, 73]])
    embeds = model.llm.embed(ids)
    embeds[ids == settings["image_id"]] = model.embed_understanding(inputs[2]).flatten(0, 1)
    hidden = model.llm(embeds, torch.arange(ids.shape[1]).unsqueeze(0)).hidden
    assert relative(model.llm.logits(hidden[:, -8:]), golden["und_logits_tail"]) < TOLERANCE
