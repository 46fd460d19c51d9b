"""The discrete head: its loss, its place in the rows, and codes drawn one after the other."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from janusflow.data.rows import RowBuilder
from janusflow.data.sample import GenerationSample
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.inference.prompt_cache import PromptRunner, UncachedPromptRunner
from janusflow.models.unified import UnifiedModel
from janusflow.options import CodeSampling
from tests.models.test_unified import SIZE, picture, run, samples, sequences

PROMPTS = ["a red circle", "three green triangles left of a blue star", "a ring"]


@pytest.fixture
def template(tokenizer, tiny_janus):
    head = tiny_janus.head
    return ChatTemplate(tokenizer, ChatConfig(), head.num_tokens, head.dropped)


@pytest.fixture
def builder(template):
    return RowBuilder(template, SIZE, max_length=96)


@pytest.fixture
def codes():
    return torch.randint(0, 64, (3, 16), generator=torch.Generator().manual_seed(1))


def span(model, template, kind=PromptRunner, guided=True, prompts=PROMPTS):
    tokens = [template.generation_prompt(prompt) for prompt in prompts]
    dropped = [template.dropped_prompt(ids) for ids in tokens] if guided else None
    return kind(model.llm, tokens, 1 + model.head.num_tokens, dropped)


def draw(model, template, options, seeds=(5, 6, 7), kind=PromptRunner, prompts=PROMPTS):
    runner = span(model, template, kind, options.guidance != 1, prompts)
    with torch.inference_mode():
        return model.head.sample(runner, model.head.start(list(seeds), torch.device("cpu")), options)


def test_loss_is_the_cross_entropy_of_each_code_behind_those_in_front(tiny_janus, builder, codes):
    """By a plain loop: prompt, begin-of-image and the codes so far run alone for every code."""
    _, gen, _ = samples()
    batch = builder.collate([builder.generation(sample, True, False) for sample in gen], [], gen)
    assert len(batch.rows.ids) < len(gen), "rows really hold several samples"
    losses = run(tiny_janus, batch, codes)
    expected = []
    for sample, image in zip(gen, codes, strict=True):
        prompt = tiny_janus.llm.embed(torch.tensor([builder.template.generation_prompt(sample.prompt)]))
        for number, code in enumerate(image):
            embeds = torch.cat([prompt, tiny_janus.head.embed(image[None, :number])], dim=1)
            hidden = tiny_janus.llm(embeds, torch.arange(embeds.shape[1])[None]).hidden[:, -1]
            expected.append(F.cross_entropy(tiny_janus.head.logits(hidden), code[None]))
    torch.testing.assert_close(losses["codes"], torch.stack(expected).mean(), atol=1e-5, rtol=1e-5)
    assert losses["ar"] == 0


def test_gradients_reach_every_parameter_but_the_towers_pool(tiny_janus, builder, codes):
    und, gen, text = samples()
    losses = run(tiny_janus, builder.collate(sequences(builder, und, gen, text), und, gen), codes)
    sum(losses.values()).backward()
    without = {name for name, p in tiny_janus.named_parameters() if p.grad is None or not p.grad.any()}
    assert all(name.startswith("vision.tower.attn_pool.") for name in without), without


def test_understanding_keeps_the_begin_tokens_own_embedding(tiny_janus, builder):
    und, _, _ = samples()
    batch = builder.collate([builder.understanding(sample) for sample in und], und, [])
    images = tiny_janus.embed_understanding(batch.und_pixels)
    assert images.shape[1] == 16
    rows = tiny_janus.embed_rows(batch.rows, images, tiny_janus.head.embed(torch.empty(0, 16, dtype=torch.long)))
    flat, words = rows.flatten(0, 1), tiny_janus.llm.embed(batch.rows.ids).flatten(0, 1)
    torch.testing.assert_close(flat[batch.rows.und_slots[:, 0]], words[batch.rows.und_slots[:, 0]])
    torch.testing.assert_close(flat[batch.rows.und_slots[:, 1:]], images)


@torch.inference_mode()
def test_sampling_sees_what_training_saw(tiny_janus, builder, codes):
    gen = [GenerationSample(picture(i), prompt) for i, prompt in enumerate(PROMPTS)]
    runner = span(tiny_janus, builder.template)
    embeds = tiny_janus.head.embed(codes).repeat(2, 1, 1)
    cached = [runner(runner.begin)] + [runner(embeds[:, i : i + 1], at=1 + i) for i in range(16)]
    halves = torch.cat(cached, dim=1).chunk(2)
    for drop, hidden in zip((False, True), halves, strict=True):
        batch = builder.collate([builder.generation(sample, True, drop) for sample in gen], [], gen)
        rows = tiny_janus.embed_rows(batch.rows, embeds[:0], embeds[:3])
        output = tiny_janus.llm(rows, batch.rows.positions, segments=batch.rows.segments).hidden
        torch.testing.assert_close(output.flatten(0, 1)[batch.rows.gen_slots], hidden, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("guidance", [0.0, 1.0, 5.0])
def test_cached_codes_equal_uncached(tiny_janus, template, guidance):
    options = CodeSampling(guidance)
    cached, uncached = (draw(tiny_janus, template, options, kind=k) for k in (PromptRunner, UncachedPromptRunner))
    assert torch.equal(cached, uncached)
    assert len(cached.unique()) > 5, "a model that always draws one code would prove nothing"


@pytest.mark.parametrize("options", [CodeSampling(1.0), CodeSampling(5.0), CodeSampling(3.0, 0.7, top_k=9, top_p=0.9)])
def test_codes_depend_on_their_own_seed_and_not_on_their_batch(tiny_janus, template, options):
    together = draw(tiny_janus, template, options)
    for number, (prompt, seed) in enumerate(zip(PROMPTS, (5, 6, 7), strict=True)):
        assert torch.equal(draw(tiny_janus, template, options, [seed], prompts=[prompt])[0], together[number])
    assert not torch.equal(draw(tiny_janus, template, options, [9, 9, 9]), together)


def test_greedy_codes_need_no_seed(tiny_janus, template):
    greedy = CodeSampling(3.0, temperature=0.0)
    codes = draw(tiny_janus, template, greedy)
    assert torch.equal(codes, draw(tiny_janus, template, greedy, [1, 2, 3]))
    assert torch.equal(codes, draw(tiny_janus, template, CodeSampling(3.0, top_k=1)))


def test_logits_that_are_not_finite_are_refused(tiny_janus, template):
    with torch.no_grad():
        tiny_janus.head.classifier.bias[3] = float("nan")
    for options in (CodeSampling(), CodeSampling(temperature=0.0)):
        with pytest.raises(ValueError, match="not finite"):
            draw(tiny_janus, template, options)


@pytest.mark.parametrize("kind", ["shared", "separate"])
def test_one_vq_encoder_for_both_tasks(tiny_janus, builder, codes, kind):
    """Experiment A: understanding takes codes, and its loss reaches the embedding that generation uses."""
    model = UnifiedModel(dataclasses.replace(tiny_janus.config, und_encoder=kind)).eval()
    assert not any(name.startswith("vision.tower.") for name, _ in model.named_parameters())
    und, _, _ = samples()
    batch = builder.collate([builder.understanding(sample) for sample in und], und, [])
    losses = model(batch.rows, batch.labels, codes[:2], batch.gen_pixels, codes[:0], batch.seeds)
    losses["ar"].backward()
    assert bool(model.head.encoder.weight.grad.any()) == (kind == "shared")
    other = model(batch.rows, batch.labels, codes[1:], batch.gen_pixels, codes[:0], batch.seeds)
    assert other["ar"] != losses["ar"], "the codes matter"
