"""The engine: an image or an answer is the same alone and in any batch, cached or not."""

import pytest
import torch
from PIL import Image
from torch import Tensor

from janusflow.checkpoint import ASSETS, Bundle
from janusflow.data.template import ChatConfig
from janusflow.data.transforms import understanding_pixels
from janusflow.generate import PromptRunner, answer_questions, generate_images
from janusflow.models.flow_head import SamplingOptions
from janusflow.models.vae import LatentCodec

PROMPTS = ["a red circle", "three green triangles left of a blue star", "a ring"]
SEEDS = [5, 6, 7]


@pytest.fixture
def bundle(tiny_model, tokenizer):
    codec = LatentCodec.from_pretrained(ASSETS / "shapes" / "vae")
    return Bundle(tiny_model, codec, tokenizer, ChatConfig(), digest="tiny")


def latents(bundle, prompts, seeds, options):
    """Sampled latents, which show differences that 8-bit images would hide."""
    tokens = [bundle.template.generation_prompt(prompt) for prompt in prompts]
    with torch.inference_mode():
        runner = PromptRunner(bundle.model.llm, tokens, 1 + bundle.model.head.num_tokens, options.guidance != 1)
        return bundle.model.head.sample(runner, bundle.model.head.initial_noise(seeds, torch.device("cpu")), options)


@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_image_depends_on_its_own_seed_and_not_on_its_batch(bundle, guidance, sampler):
    options = SamplingOptions(steps=3, guidance=guidance, sampler=sampler)
    together = latents(bundle, PROMPTS, SEEDS, options)
    for number, (prompt, seed) in enumerate(zip(PROMPTS, SEEDS, strict=True)):
        alone = latents(bundle, [prompt], [seed], options)
        torch.testing.assert_close(alone[0], together[number], atol=1e-5, rtol=1e-5)
    other = latents(bundle, PROMPTS[:1], [99], options)
    assert not torch.allclose(other[0], together[0], atol=1e-2)


def test_batch_size_changes_nothing(bundle):
    options = SamplingOptions(steps=2, guidance=3.0)
    whole = generate_images(bundle, PROMPTS, SEEDS, options, batch_size=3)
    parts = generate_images(bundle, PROMPTS, SEEDS, options, batch_size=2)
    for a, b in zip(whole, parts, strict=True):
        difference = torch.tensor(list(a.tobytes()), dtype=torch.int) - torch.tensor(list(b.tobytes()), dtype=torch.int)
        assert difference.abs().max() <= 1, "one level of 8-bit rounding at the most"


def test_guidance_of_one_is_the_conditional_velocity(bundle):
    """w = 1 takes the short path; the long path's formula at w = 1 gives the same."""
    options = SamplingOptions(steps=2, guidance=1.0)
    nearly = options._replace(guidance=1.0 + 1e-7)
    torch.testing.assert_close(
        latents(bundle, PROMPTS, SEEDS, options), latents(bundle, PROMPTS, SEEDS, nearly), atol=1e-5, rtol=1e-5
    )


def test_prompt_and_guidance_change_the_image(bundle):
    options = SamplingOptions(steps=2, guidance=3.0)
    first = latents(bundle, ["a red circle"], [0], options)
    assert (latents(bundle, ["a blue star"], [0], options) - first).abs().max() > 1e-4
    assert (latents(bundle, ["a red circle"], [0], options._replace(guidance=6.0)) - first).abs().max() > 1e-4


def naive_answer(bundle: Bundle, image: Image.Image, question: str, tokens: int) -> list[int]:
    """Greedy decoding that recomputes everything for every token, one row at a time."""
    ids = bundle.template.question(question)
    model, special = bundle.model, bundle.tokenizer
    embeds: Tensor = model.llm.embed(torch.tensor([ids])).clone()
    slots = [i for i, token in enumerate(ids) if token in (special.boi, special.image)]
    pixels = understanding_pixels(image, model.config.vision.image_size).unsqueeze(0)
    embeds[0, slots] = model.embed_understanding(pixels)[0]
    answer: list[int] = []
    for _ in range(tokens):
        hidden = model.llm(embeds, torch.arange(embeds.shape[1]).unsqueeze(0)).hidden[:, -1]
        token = int(model.llm.logits(hidden).argmax())
        if token == special.eos:
            break
        answer.append(token)
        embeds = torch.cat([embeds, model.llm.embed(torch.tensor([[token]]))], dim=1)
    return answer


def test_batched_cached_answers_equal_naive_ones(bundle):
    images = [Image.new("RGB", (16, 16), color) for color in ("red", "blue", "white")]
    questions = ["what color is it?", "how many red circles are there in the picture?", "where?"]
    batched = answer_questions(bundle, images, questions, batch_size=3, max_new_tokens=6)
    with torch.inference_mode():
        naive = [naive_answer(bundle, i, q, 6) for i, q in zip(images, questions, strict=True)]
    assert batched == [bundle.tokenizer.decode(ids) for ids in naive]
    assert len(set(batched)) > 1, "answers that are all the same would prove nothing"


def test_overlong_input_is_refused_with_its_length(bundle):
    with pytest.raises(ValueError, match="256"):
        generate_images(bundle, ["red " * 400], [0], SamplingOptions(steps=1))
    with pytest.raises(ValueError, match="256"):
        answer_questions(bundle, [Image.new("RGB", (16, 16))], ["red " * 400])


def test_progress_counts_all_batches(bundle):
    seen = []
    generate_images(bundle, PROMPTS, SEEDS, SamplingOptions(2), 2, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_unequal_lists_are_refused(bundle):
    with pytest.raises(ValueError, match="seeds"):
        generate_images(bundle, PROMPTS, [1], SamplingOptions())
    with pytest.raises(ValueError, match="questions"):
        answer_questions(bundle, [], ["where?"])
