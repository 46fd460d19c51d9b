"""A tiny Janus against transformers' own: exported by us, saved by them, and through DeepSeek's layout."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file
from transformers import GenerationConfig, JanusForConditionalGeneration

from janusflow.checkpoints.pretrained import Bundle, load_pretrained, save_pretrained
from janusflow.inference.images import sample_latents
from janusflow.inference.prompt_cache import PromptRunner
from janusflow.options import CodeSampling
from tests.conftest import build_janus, build_vq, janus_sizes, spread

PROMPTS = ["a ring", "two red circles and a blue star", "three green triangles left of a small yellow square", "a star"]
GUIDANCE = (0.0, 1.0, 2.5, 5.0, 7.5)
ROUTES = ("exported", "saved", "saved with tied embeddings", "through DeepSeek's layout")


@pytest.fixture(scope="module", params=ROUTES)
def pair(request, tmp_path_factory, tokenizer):
    """The model as we have it and as transformers does."""
    route, tmp_path = request.param, tmp_path_factory.mktemp("pair")
    ours = Bundle(build_janus(janus_sizes()), build_vq(), tokenizer)
    save_pretrained(ours, tmp_path / "export", "transformers")
    theirs, faults = JanusForConditionalGeneration.from_pretrained(tmp_path / "export", output_loading_info=True)
    assert not any(faults.values()), faults
    assert theirs.lm_head.weight.data_ptr() != theirs.get_input_embeddings().weight.data_ptr()
    assert theirs.generation_config.pad_token_id == tokenizer.pad
    if route.startswith("saved"):
        config = theirs.config
        config.tie_word_embeddings = "tied" in route
        theirs = spread(JanusForConditionalGeneration(config)).eval()
        theirs.generation_config = GenerationConfig.from_pretrained(tmp_path / "export")
        theirs.tie_weights()
        config.vq_config.num_patches = 32  # their default, which the model does not mean
        theirs.save_pretrained(tmp_path / "saved")
        assert ("lm_head.weight" in load_file(tmp_path / "saved" / "model.safetensors")) == ("tied" not in route)
        tokenizer.save(tmp_path / "saved" / "tokenizer.json")
        ours = load_pretrained(tmp_path / "saved")
    elif "DeepSeek" in route:
        save_pretrained(ours, tmp_path / "deepseek", "deepseek")
        ours = load_pretrained(tmp_path / "deepseek")
    return ours, theirs


def close(got, wanted):
    """Equal within fp32's rounding, of values that differ among themselves."""
    assert wanted.std() > 0.05, "constant values would prove nothing"
    torch.testing.assert_close(got, wanted, atol=2e-5, rtol=2e-5)


@torch.inference_mode()
def test_understanding(pair):
    ours, theirs = pair
    ids = torch.tensor([ours.template.question("what color is the star?")])
    pixels = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    embeds = ours.model.llm.embed(ids)
    embeds[ids == ours.tokenizer.image] = ours.model.embed_understanding(pixels).flatten(0, 1)
    hidden = ours.model.llm(embeds, torch.arange(ids.shape[1]).unsqueeze(0)).hidden
    close(ours.model.llm.logits(hidden), theirs(input_ids=ids, pixel_values=pixels).logits)


@torch.inference_mode()
@pytest.mark.parametrize("weight", GUIDANCE)
def test_teacher_forced_guided_logits(pair, weight):
    """Prompts of different lengths in one batch here, one by one there."""
    ours, theirs = pair
    head = ours.model.head
    codes = torch.randint(0, 64, (len(PROMPTS), 15), generator=torch.Generator().manual_seed(1))
    prompts = [ours.template.generation_prompt(prompt) for prompt in PROMPTS]
    assert len(set(map(len, prompts))) > 2
    dropped = None if weight == 1 else [ours.template.dropped_prompt(ids) for ids in prompts]
    span = PromptRunner(ours.model.llm, prompts, 16, dropped)
    hidden = span(torch.cat([span.begin, head.embed(codes).repeat(len(span.begin) // len(codes), 1, 1)], dim=1))
    got = torch.stack([head.guided_logits(hidden[:, place], weight) for place in range(16)], dim=1)
    for number, prompt in enumerate(prompts):
        close(got[number], their_logits(theirs, prompt, codes[number], weight))


def their_logits(theirs, prompt, codes, weight):
    """Guided logits (16, K) from the begin-of-image token on."""
    special = theirs.generation_config
    ids = torch.tensor([prompt, prompt])
    kept = (ids[1] == special.bos_token_id) | (ids[1] == special.generation_kwargs["boi_token_id"])
    ids[1, ~kept] = special.pad_token_id
    drawn = theirs.prepare_embeddings_for_image_generation(codes).expand(2, -1, -1)
    embeds = torch.cat([theirs.get_input_embeddings()(ids), drawn], dim=1)
    hidden = theirs.model.language_model(inputs_embeds=embeds).last_hidden_state[:, len(prompt) - 1 :]
    conditional, unconditional = theirs.model.generation_head(hidden)
    return unconditional + weight * (conditional - unconditional)


@pytest.mark.skipif(
    transformers.__version__.startswith("5.0."), reason="its generate() draws other codes than its model"
)
def test_greedy_codes(pair):
    ours, theirs = pair
    (got,) = sample_latents(ours, PROMPTS, [0] * len(PROMPTS), CodeSampling(guidance=5.0, temperature=0.0))
    wanted = [
        theirs.generate(
            input_ids=torch.tensor([ours.template.generation_prompt(prompt)]),
            attention_mask=torch.ones(1, len(ours.template.generation_prompt(prompt)), dtype=torch.long),
            generation_mode="image",
            do_sample=False,
            guidance_scale=5.0,
        )[0]
        for prompt in PROMPTS
    ]
    assert torch.equal(got, torch.stack(wanted))
    assert len(got.unique()) > 8 and len(got.unique(dim=0)) > 1, "one code everywhere would prove nothing"


def test_decoded_images(pair):
    ours, theirs = pair
    codes = torch.randint(0, 64, (3, 16), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        wanted = theirs.decode_image_tokens(codes).permute(0, 3, 1, 2)
    close(ours.required_codec.decode(codes), wanted.clamp(-1, 1))


def test_codes_of_images(pair):
    """Their encoder compares with the codebook as it is: equal where its rows are normalised, else not."""
    ours, theirs = pair
    pixels = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(3)) * 2 - 1
    codes = ours.required_codec.encode(pixels)
    vq = copy.deepcopy(theirs.model.vqmodel)
    codebook = vq.quantize.embedding.weight
    with torch.inference_mode():
        assert not torch.equal(codes.flatten(), vq.encode(pixels).image_tokens)
        codebook.copy_(F.normalize(codebook, dim=-1))
        assert torch.equal(codes.flatten(), vq.encode(pixels).image_tokens)
    assert len(codes.unique()) > 4


def test_the_same_weights_again_from_what_they_save(pair, tmp_path):
    """Ours, theirs, ours: bit for bit, but for the attention pooling that they leave out."""
    ours, theirs = pair
    theirs.save_pretrained(tmp_path / "again")
    ours.tokenizer.save(tmp_path / "again" / "tokenizer.json")
    again = load_pretrained(tmp_path / "again")
    assert again.required_codec.digest == ours.required_codec.digest
    for name, value in again.model.state_dict().items():
        if not name.startswith("vision.tower.attn_pool"):
            assert torch.equal(value, ours.model.state_dict()[name]), name
    assert again.model.config == dataclasses.replace(ours.model.config, losses={})
