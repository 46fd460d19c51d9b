"""The engine: an image or an answer is the same alone and in any batch, cached or not."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from janusflow.checkpoints.pretrained import Bundle, save_pretrained
from janusflow.codecs.vae import LatentCodec
from janusflow.data.template import ChatConfig
from janusflow.inference.images import generate_images, largest_batch, sample_latents
from janusflow.inference.prompt_cache import PromptRunner, UncachedPromptRunner
from janusflow.options import CodeSampling, FlowSampling
from janusflow.weights import ASSETS

PROMPTS = ["a red circle", "three green triangles left of a blue star", "a ring"]
SEEDS = [5, 6, 7]


@pytest.fixture
def bundle(tiny_model, tokenizer):
    codec = LatentCodec.from_pretrained(ASSETS / "shapes" / "vae")
    return Bundle(tiny_model, codec, tokenizer, ChatConfig())


def latents(bundle, prompts, seeds, options):
    """Sampled latents, which show differences that 8-bit images would hide."""
    return torch.cat(list(sample_latents(bundle, prompts, seeds, options)))


@torch.inference_mode()
@pytest.mark.parametrize(("guidance", "interval"), [(1.0, (0.0, 1.0)), (4.0, (0.0, 1.0)), (4.0, (0.4, 1.0))])
def test_cached_prompts_equal_their_naive_twin(bundle, guidance, interval):
    """With guidance in a part of the time some passes have the conditional rows only."""
    head, llm = bundle.model.head, bundle.model.llm
    tokens = [bundle.template.generation_prompt(prompt) for prompt in PROMPTS]
    noise, options = head.start(SEEDS, torch.device("cpu")), FlowSampling(3, guidance, guidance_interval=interval)
    dropped = None if guidance == 1 else [bundle.template.dropped_prompt(ids) for ids in tokens]
    results = [
        head.sample(kind(llm, tokens, 1 + head.num_tokens, dropped), noise, options)
        for kind in (PromptRunner, UncachedPromptRunner)
    ]
    torch.testing.assert_close(*results, atol=1e-5, rtol=1e-5)
    assert (results[0] - noise).abs().max() > 0.1, "a model that moves nothing would prove nothing"


def test_guidance_interval(bundle):
    """Guidance everywhere, nowhere, and at the first of two steps only."""
    options = FlowSampling(steps=2, guidance=4.0)
    everywhere = latents(bundle, PROMPTS, SEEDS, replace(options, guidance_interval=(0.0, 1.0)))
    torch.testing.assert_close(everywhere, latents(bundle, PROMPTS, SEEDS, options))
    nowhere = latents(bundle, PROMPTS, SEEDS, replace(options, guidance_interval=(0.9, 1.0)))
    torch.testing.assert_close(nowhere, latents(bundle, PROMPTS, SEEDS, replace(options, guidance=1.0)))
    first = latents(bundle, PROMPTS, SEEDS, replace(options, guidance_interval=(0.0, 0.4)))
    assert (first - everywhere).abs().max() > 1e-4
    assert (first - nowhere).abs().max() > 1e-4


@pytest.mark.parametrize("kind", ["flow", "codes"])
def test_a_worse_model_takes_the_place_of_dropped_prompts(bundle, janus_bundle, tmp_path, kind):
    """Autoguidance (arXiv:2406.02507): w times ours less (w - 1) times the worse one's."""
    model = bundle if kind == "flow" else replace(janus_bundle, preprocessing=bundle.preprocessing)
    options = FlowSampling(1, 3.0) if kind == "flow" else CodeSampling(3.0, temperature=0.0)
    plain = latents(model, PROMPTS, SEEDS, replace(options, guidance=1.0))
    save_pretrained(model, tmp_path / "same")
    itself = latents(model, PROMPTS, SEEDS, replace(options, worse=str(tmp_path / "same")))
    torch.testing.assert_close(itself, plain, atol=1e-4, rtol=1e-4)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.model.llm.blocks[0].mlp.down_proj.weight.mul_(0.2)
    save_pretrained(other, tmp_path / "other")
    guided = latents(model, PROMPTS, SEEDS, replace(options, worse=str(tmp_path / "other")))
    assert not torch.equal(guided, plain)
    if kind == "flow":  # one Euler step: latents are linear in the velocity
        worse = latents(other, PROMPTS, SEEDS, replace(options, guidance=1.0))
        torch.testing.assert_close(guided, 3 * plain - 2 * worse, atol=1e-4, rtol=1e-4)
    foreign = tmp_path / "foreign"
    save_pretrained(janus_bundle if kind == "flow" else bundle, foreign)
    with pytest.raises(ValueError, match="autoguidance needs a model that draws as this one does"):
        latents(model, PROMPTS, SEEDS, replace(options, worse=str(foreign)))


def test_memory_limit_makes_batches_smaller_and_changes_nothing(bundle):
    options = FlowSampling(steps=2, guidance=3.0)
    one = 1.5 / largest_batch(bundle, 20, options, memory_gib=1.0)
    limited = list(sample_latents(bundle, PROMPTS, SEEDS, options, memory_gib=one))
    assert [len(batch) for batch in limited] == [1, 1, 1]
    torch.testing.assert_close(torch.cat(limited), latents(bundle, PROMPTS, SEEDS, options), atol=1e-5, rtol=1e-5)
    assert largest_batch(bundle, 20, options, 4.0) > largest_batch(bundle, 200, options, 4.0)


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_image_depends_on_its_own_seed_and_not_on_its_batch(bundle, guidance, sampler):
    options = FlowSampling(steps=3, guidance=guidance, sampler=sampler)
    together = latents(bundle, PROMPTS, SEEDS, options)
    for number, (prompt, seed) in enumerate(zip(PROMPTS, SEEDS, strict=True)):
        alone = latents(bundle, [prompt], [seed], options)
        torch.testing.assert_close(alone[0], together[number], atol=1e-5, rtol=1e-5)
    other = latents(bundle, PROMPTS[:1], [99], options)
    assert not torch.allclose(other[0], together[0], atol=1e-2)


def test_prompt_and_guidance_change_the_image(bundle):
    options = FlowSampling(steps=2, guidance=3.0)
    first = latents(bundle, ["a red circle"], [0], options)
    assert (latents(bundle, ["a blue star"], [0], options) - first).abs().max() > 1e-4
    assert (latents(bundle, ["a red circle"], [0], replace(options, guidance=6.0)) - first).abs().max() > 1e-4


def test_unequal_lists_are_refused(bundle):
    with pytest.raises(ValueError, match="seeds"):
        generate_images(bundle, PROMPTS, [1], FlowSampling())


@pytest.mark.parametrize("kind", ["flow", "codes"])
def test_pictures_of_any_size_do_not_depend_on_their_batch(bundle, janus_bundle, kind):
    model = bundle if kind == "flow" else janus_bundle
    side = 32 if kind == "flow" else 16  # of the codec's pictures; the models are of 16 pixels
    options = FlowSampling(2, 3.0, shift_scale="tokens") if kind == "flow" else CodeSampling(3.0)
    wide = generate_images(model, PROMPTS, SEEDS, options, size=(8, 24))
    assert {image.size for image in wide} == {(side * 24 // 16, side * 8 // 16)}
    for number, image in enumerate(wide):
        (alone,) = generate_images(model, PROMPTS[number : number + 1], [SEEDS[number]], options, size=(8, 24))
        assert np.abs(np.asarray(alone, int) - np.asarray(image, int)).max() <= 1
    square, same = (generate_images(model, PROMPTS, SEEDS, options, size=size) for size in (None, (16, 16)))
    assert [image.tobytes() for image in square] == [image.tobytes() for image in same]
    with pytest.raises(ValueError, match="multiples of 4 pixels, got the size 8x18"):
        generate_images(model, PROMPTS, SEEDS, options, size=(8, 18))
    with pytest.raises(ValueError, match="positions, more than the model's 256"):
        generate_images(model, PROMPTS, SEEDS, options, size=(64, 64))
