"""Images behind themselves, in the model: gradients, packing, and sampling that sees what training saw."""

from functools import partial

import pytest
import torch

from janusflow.checkpoints.pretrained import Bundle
from janusflow.data.rows import RowBuilder
from janusflow.data.sample import GenerationSample
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.inference.images import embed_prompts
from janusflow.inference.prompt_cache import PromptRunner, UncachedPromptRunner
from tests.models.test_unified import picture, run, separate_rows

HEADS = pytest.mark.parametrize("fixture", ["tiny_model", "tiny_janus"])


def shown(seed: int, request: str = "draw this picture again.") -> GenerationSample:
    return GenerationSample(picture(seed), request, images=[picture(seed)])


@pytest.fixture
def model(request, fixture):
    return request.getfixturevalue(fixture)


@pytest.fixture
def builder(tokenizer, model):
    return RowBuilder(ChatTemplate(tokenizer, ChatConfig(), 16, model.head.dropped), 16, max_length=160)


def latents_of(model, count):
    generator = torch.Generator().manual_seed(1)
    if model.head.latent_dtype == torch.long:
        return torch.randint(0, model.head.codec_size, (count, 16), generator=generator)
    return torch.randn(count, *model.head.latent_shape, generator=generator)


def batch_of(builder, samples, drop=False):
    sequences = [builder.generation(sample, True, drop) for sample in samples]
    return builder.collate(sequences, [] if drop else samples, samples)


@HEADS
def test_the_loss_reaches_head_and_aligner_and_without_the_prompt_no_more_than_the_head(model, builder):
    name = model.head.loss_name
    for drop in (False, True):
        model.zero_grad()
        batch = batch_of(builder, [shown(1), shown(2)], drop)
        losses = run(model, batch, latents_of(model, 2))
        losses[name].backward()
        reached = {key for key, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        assert {key for key, _ in model.named_parameters() if key.startswith("head.")} - reached <= {
            "head.classifier.weight"
        }
        assert any(key.startswith("vision.aligner.") for key in reached) != drop
        assert any(key.startswith("llm.") for key in reached)
        assert losses["ar"] == 0


@HEADS
def test_the_loss_depends_on_what_is_seen_unless_it_is_dropped(model, builder):
    latents, name = latents_of(model, 1), model.head.loss_name
    other = shown(1)._replace(images=[picture(7)])
    first, second = (run(model, batch_of(builder, [sample]), latents)[name] for sample in (shown(1), other))
    assert (first - second).abs() > 1e-4
    dropped = [run(model, batch_of(builder, [sample], drop=True), latents)[name] for sample in (shown(1), other)]
    assert dropped[0] == dropped[1] and (dropped[0] - first).abs() > 1e-4


@HEADS
def test_packed_rows_equal_separate_samples(model, builder):
    samples = [shown(1), shown(2, "what do you see? draw it."), GenerationSample(picture(3), "a red circle")]
    parts = [builder.generation(sample, True, False) for sample in samples]
    packed = builder.collate(parts, samples[:2], samples)
    assert len(packed.rows.ids) < len(parts)
    builder.max_length = max(len(part.ids) for part in parts)
    alone = separate_rows(builder, parts, samples[:2], samples)
    latents = latents_of(model, 3)
    for name, value in run(model, packed, latents).items():
        torch.testing.assert_close(run(model, alone, latents)[name], value, atol=1e-6, rtol=1e-6)


@HEADS
@torch.inference_mode()
def test_sampling_sees_what_training_saw(model, builder, tokenizer):
    """Prompts that show an image, are words alone, and are dropped, in one batch of the engine."""
    samples = [shown(1), GenerationSample(picture(3), "a red circle"), shown(2, "what do you see? draw it.")]
    bundle, images = Bundle(model, None, tokenizer), [picture(1), picture(2)]
    prompts = [builder.template.generation_prompt(one.prompt, images=len(one.images)) for one in samples]
    dropped = [builder.template.dropped_prompt(prompt) for prompt in prompts]
    gen, _ = model.head.prepare(latents_of(model, 3), torch.tensor([3, 4, 5]))
    embed = partial(embed_prompts, bundle, images=images)
    found = []
    for kind in (PromptRunner, UncachedPromptRunner):
        runner = kind(model.llm, prompts, 17, dropped, model.head.sees_all, embed)
        span = torch.cat([runner.begin[:3], gen], dim=1)[:, -17:].repeat(2, 1, 1)
        found.append(runner(span))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)
    for drop, hidden in ((False, found[0][:3]), (True, found[0][3:])):
        sequences = [builder.generation(sample, True, drop) for sample in samples]
        batch = builder.collate(sequences, [] if drop else [samples[0], samples[2]], samples)
        und = model.embed_understanding(batch.und_pixels)
        output = model.run_llm(model.embed_rows(batch.rows, und, gen), batch.rows).hidden
        torch.testing.assert_close(output.flatten(0, 1)[batch.rows.gen_slots], hidden, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("fixture", ["tiny_model"])
def test_rows_without_prompts_show_no_image(model, builder):
    """What a teacher's guidance is learnt from: the same as where the prompt is dropped."""
    samples = [shown(1), shown(2)]
    gen, _ = model.head.prepare(latents_of(model, 2), torch.tensor([3, 4]))
    hidden = []
    for drop in (False, True):
        rows, pixels = (batch := batch_of(builder, samples, drop)).rows, batch.und_pixels
        embeds = model.embed_rows(rows, model.embed_understanding(pixels), gen)
        output = model.run_llm(embeds, rows if drop else rows.without_prompts(), whole=drop).hidden
        hidden.append(output.flatten(0, 1)[rows.gen_slots])
    torch.testing.assert_close(*hidden, atol=1e-5, rtol=1e-5)
