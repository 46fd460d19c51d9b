"""Edits in the model: what is shown as latents, packing, and sampling that sees what training saw in every form."""

import dataclasses
from functools import partial

import pytest
import torch
from diffusers import AutoencoderKL

from janusflow.checkpoints.pretrained import Bundle
from janusflow.codecs.vae import LatentCodec
from janusflow.data.rows import RowBuilder
from janusflow.data.sample import GenerationSample
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.inference.images import embed_prompts, without
from janusflow.inference.prompt_cache import PromptRunner, UncachedPromptRunner
from janusflow.models.unified import ModelConfig, UnifiedModel
from tests.models.test_reconstruction import latents_of
from tests.models.test_unified import picture, samples, sequences

KINDS = pytest.mark.parametrize("kind", ["flow", "flow with latents", "codes"])


def edit(seed, instruction="make the circle blue."):
    return GenerationSample(picture(seed), instruction, images=[picture(seed + 40)])


@pytest.fixture
def model(request, kind):
    if kind == "codes":
        return request.getfixturevalue("tiny_janus")
    plain = request.getfixturevalue("tiny_model")
    return plain if kind == "flow" else showing(plain)


def showing(plain):
    """The same model, which shows sources as latents: it takes no other weights."""
    model = UnifiedModel(dataclasses.replace(plain.config, source_latents=True)).eval()
    model.load_state_dict(plain.state_dict())
    return model


def build_vae():
    """A VAE for ``tiny_model``: 2 x 2 pixels a latent position."""
    torch.manual_seed(3)
    blocks = {"down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2}
    sizes = {"block_out_channels": [8, 16], "layers_per_block": 1, "latent_channels": 4, "norm_num_groups": 4}
    return LatentCodec(AutoencoderKL(**blocks, **sizes))


@pytest.fixture
def codec():
    return build_vae()


@pytest.fixture
def builder(tokenizer, model):
    shows = model.config.source_latents
    return RowBuilder(ChatTemplate(tokenizer, ChatConfig(), 16, model.head.dropped, shows), 16, max_length=160)


def batch_of(builder, found, drop=False, words=False):
    """A batch of samples with all of their prompts, with nothing of them, or without their words."""
    said = [sample._replace(prompt="") if words else sample for sample in found]
    return collated(builder, [builder.generation(sample, True, drop) for sample in said], found)


def collated(builder, parts, found):
    pairs = list(zip(found, parts, strict=True))
    und = [sample for sample, part in pairs if part.und]
    return builder.collate(parts, und, found, None, [sample for sample, part in pairs if part.source])


def run(model, batch, latents, codec=None):
    sources = None
    if model.config.source_latents:
        sources = codec.encode(batch.source_pixels) if len(batch.source_pixels) else latents[:0]
    images = (batch.und_pixels, batch.gen_pixels, latents, batch.seeds)
    return model(batch.rows, batch.labels, *images, None, None, sources)


@KINDS
def test_the_loss_depends_on_source_and_words_unless_they_are_dropped(model, builder, codec):
    latents, name = latents_of(model, 1), model.head.loss_name
    other, reworded = edit(1)._replace(images=[picture(7)]), edit(1, "make the circle red.")

    def loss(sample, **dropped):
        return run(model, batch_of(builder, [sample], **dropped), latents, codec)[name]

    assert (loss(edit(1)) - loss(other)).abs() > 1e-5 < (loss(edit(1)) - loss(reworded)).abs()
    wordless = [loss(sample, words=True) for sample in (edit(1), reworded, other)]
    assert wordless[0] == wordless[1] and (wordless[0] - wordless[2]).abs() > 1e-5
    empty = [loss(sample, drop=True) for sample in (edit(1), reworded, other)]
    assert empty[0] == empty[1] == empty[2] and (empty[0] - wordless[0]).abs() > 1e-5


def test_the_latents_alone_decide_too_and_the_encoder_learns_of_them(tiny_model, tokenizer, codec):
    model = showing(tiny_model)
    builder = RowBuilder(ChatTemplate(tokenizer, ChatConfig(), 16, "gap", True), 16, max_length=160)
    batch, latents = batch_of(builder, [edit(1)]), latents_of(model, 1)
    assert batch.rows.source_slots[0, -1] + 1 == batch.rows.gen_slots[0, 0], "always as far from what is drawn"
    black = batch._replace(source_pixels=torch.zeros_like(batch.source_pixels))
    first, second = (run(model, one, latents, codec)["flow"] for one in (batch, black))
    assert (first - second).abs() > 1e-5
    source = codec.encode(batch.source_pixels).requires_grad_()
    images = (batch.und_pixels, batch.gen_pixels, latents, batch.seeds)
    model(batch.rows, batch.labels, *images, sources=source)["flow"].backward()
    assert source.grad.abs().sum() > 0


def test_where_nothing_is_edited_all_losses_stay_as_they_are(tiny_model, tokenizer):
    und, gen, text = samples()
    losses = []
    for model in (tiny_model, showing(tiny_model)):
        template = ChatTemplate(tokenizer, ChatConfig(), 16, "gap", model.config.source_latents)
        builder = RowBuilder(template, 16, max_length=96)
        batch = builder.collate(sequences(builder, und, gen, text), und, gen)
        assert batch.rows.source_slots.shape == (0, 17)
        losses.append(run(model, batch, latents_of(model, 3)))
    assert losses[0].keys() == losses[1].keys() and all(losses[0][name] == losses[1][name] for name in losses[0])


@KINDS
def test_packed_rows_equal_separate_samples(model, builder, codec):
    found = [edit(1), edit(2, ""), GenerationSample(picture(3), "a red circle"), edit(4)]
    parts = [builder.generation(sample, True, drop) for sample, drop in zip(found, [0, 0, 0, 1], strict=True)]
    packed = collated(builder, parts, found)
    assert len(packed.rows.ids) < len(parts) and len(packed.und_pixels) == 2
    assert len(packed.source_pixels) == (2 if model.config.source_latents else 0)
    builder.max_length = length = max(len(part.ids) for part in parts)
    filler = [builder.template.tokenizer.pad] * length
    padded = [
        part._replace(
            ids=(part.ids + filler)[:length],
            positions=part.positions + [0] * (length - len(part.ids)),
            supervised=[False] * length,
        )
        for part in parts
    ]
    alone = collated(builder, padded, found)
    assert len(alone.rows.ids) == len(parts)
    latents = latents_of(model, 4)
    for name, value in run(model, packed, latents, codec).items():
        torch.testing.assert_close(run(model, alone, latents, codec)[name], value, atol=1e-6, rtol=1e-6)


@KINDS
@torch.inference_mode()
def test_sampling_sees_what_training_saw_in_all_three_forms(model, builder, tokenizer, codec):
    found = [edit(1), GenerationSample(picture(3), "a red circle"), edit(2, "remove the ring, please.")]
    bundle, images = Bundle(model, codec, tokenizer), [edit(1).images[0], edit(2).images[0]]
    template = bundle.template
    prompts = [template.generation_prompt(one.prompt, images=len(one.images)) for one in found]
    left = [without(bundle, prompt, form) for form in ("words", "all") for prompt in prompts]
    dropped, begins = zip(*left, strict=True)
    gen, _ = model.head.prepare(latents_of(model, 3), torch.tensor([3, 4, 5]))
    seen = []
    for kind in (PromptRunner, UncachedPromptRunner):
        embed = partial(embed_prompts, bundle, images=images)
        runner = kind(model.llm, prompts, 17, dropped, model.head.sees_all, embed, begins)
        span = torch.cat([runner.begin[:3], gen], dim=1)[:, -17:].repeat(3, 1, 1)
        seen.append(runner(span))
    torch.testing.assert_close(*seen, atol=1e-5, rtol=1e-5)
    wordless = [one._replace(prompt="") if one.images else one for one in found]
    for said, drops, hidden in zip(
        (found, wordless, found), ([0] * 3, [0, 1, 0], [1] * 3), seen[0].chunk(3), strict=True
    ):
        parts = [builder.generation(sample, True, drop) for sample, drop in zip(said, drops, strict=True)]
        batch = collated(builder, parts, found)
        und = model.embed_understanding(batch.und_pixels)
        source = model.head.show(codec.encode(batch.source_pixels)) if len(batch.source_pixels) else None
        output = model.run_llm(model.embed_rows(batch.rows, und, gen, source=source), batch.rows).hidden
        torch.testing.assert_close(output.flatten(0, 1)[batch.rows.gen_slots], hidden, atol=1e-5, rtol=1e-5)


def test_logits_are_guided_by_image_and_words(tiny_janus):
    hidden = torch.randn(6, 32, generator=torch.Generator().manual_seed(0))
    both, shown, empty = tiny_janus.head.logits(hidden).chunk(3)
    wanted = empty + 1.5 * (shown - empty) + 3.0 * (both - shown)
    torch.testing.assert_close(tiny_janus.head.guided_logits(hidden, 3.0, 1.5), wanted, atol=1e-5, rtol=1e-5)


def test_heads_of_codes_show_no_latents(tiny_janus_config):
    with pytest.raises(ValueError, match="which an autoregressive head does not show"):
        dataclasses.replace(tiny_janus_config, source_latents=True)
    assert not ModelConfig().source_latents
