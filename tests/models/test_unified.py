"""The unified model: gradients, packing, and the twin paths of training and sampling."""

import dataclasses

import pytest
import torch
from PIL import Image

from janusflow.data.rows import RowBuilder
from janusflow.data.sample import GenerationSample, TextSample, UnderstandingSample
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.inference.prompt_cache import PromptRunner, UncachedPromptRunner
from janusflow.losses import answer_cross_entropy
from janusflow.models.unified import UnifiedModel

SIZE = 16


@pytest.fixture
def builder(tokenizer, tiny_model):
    return RowBuilder(ChatTemplate(tokenizer, ChatConfig(), tiny_model.head.num_tokens), SIZE, max_length=96)


def samples():
    und = [
        UnderstandingSample([picture(i)], [("what color is the star?", "red"), ("how many?", "two")]) for i in range(2)
    ]
    gen = [
        GenerationSample(picture(9 + i), prompt)
        for i, prompt in enumerate(["a red circle", "two blue stars", "a ring"])
    ]
    return und, gen, [TextSample("a circle is round."), TextSample("a ring has a hole.")]


def picture(seed: int) -> Image.Image:
    levels = torch.randint(0, 256, (SIZE, SIZE, 3), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Image.fromarray(levels.numpy())


def sequences(builder, und, gen, text):
    drops = [True] + [False] * len(gen)
    return [
        *map(builder.understanding, und),
        *(builder.generation(sample, True, drop) for sample, drop in zip(gen, drops, strict=False)),
        *map(builder.text, text),
    ]


def run(model, batch, latents):
    return model(batch.rows, batch.labels, batch.und_pixels, batch.gen_pixels, latents, batch.seeds)


@pytest.fixture
def batch(builder):
    und, gen, text = samples()
    return builder.collate(sequences(builder, und, gen, text), und, gen)


@pytest.fixture
def latents():
    return torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1))


def test_three_losses_are_summed_one_to_one_and_reach_what_they_train(tiny_model, batch, latents):
    losses = run(tiny_model, batch, latents)
    torch.testing.assert_close(tiny_model.total(losses), losses["ar"] + losses["flow"] + losses["repa"])
    assert losses["ar"] > 0 and losses["flow"] > 0 and -1 <= losses["repa"] <= 1
    assert all(value.dtype == torch.float32 for value in losses.values())

    def reached(name):
        tiny_model.zero_grad()
        run(tiny_model, batch, latents)[name].backward()
        return {key for key, p in tiny_model.named_parameters() if p.grad is not None and p.grad.any()}

    names = [key for key, _ in tiny_model.named_parameters()]
    repa, answers = reached("repa"), reached("ar")
    assert not any(key.startswith("vision.") for key in repa), "REPA leaves SigLIP without gradient"
    assert {key for key in names if key.startswith("projector.")} <= repa
    blocks = {key.split(".")[4] for key in repa if ".layers." in key}
    assert blocks == {"0"}, "the features are taken after block 1"
    assert {"vision.tower.patch_embed.proj.weight", "vision.begin_embed"} <= answers
    assert not any(key.startswith("head.") for key in answers)
    assert {key for key in names if key.startswith("head.")} <= reached("flow")


@pytest.mark.parametrize("full", [False, True])
def test_packed_rows_equal_separate_samples(tiny_model, builder, latents, full):
    """Every sample alone in a row gives the same hidden states, and so the same loss and gradients."""
    tiny_model.head.sees_all = full
    und, gen, text = samples()
    parts = sequences(builder, und, gen, text)
    packed = builder.collate(parts, und, gen)
    assert len(packed.rows.ids) < len(parts), "rows really hold several samples"
    builder.max_length = max(len(part.ids) for part in parts)
    alone = separate_rows(builder, parts, und, gen)
    assert len(alone.rows.ids) == len(parts)
    results = []
    for candidate in (packed, alone):
        tiny_model.zero_grad()
        losses = run(tiny_model, candidate, latents)
        sum(losses.values()).backward()
        results.append((losses, [p.grad.clone() for p in tiny_model.parameters() if p.grad is not None]))
    for a, b in zip(*(result[0].values() for result in results), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)
    for a, b in zip(*(result[1] for result in results), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def separate_rows(builder, parts, und, gen):
    """The same samples, one a row: padded so that no two fit."""
    length = max(len(part.ids) for part in parts)
    filler = builder.template.tokenizer.pad
    padded = [
        part._replace(
            ids=part.ids + [filler] * (length - len(part.ids)),
            positions=part.positions + [0] * (length - len(part.ids)),
            supervised=part.supervised + [False] * (length - len(part.ids)),
        )
        for part in parts
    ]
    return builder.collate(padded, und, gen)


@pytest.mark.parametrize("full", [False, True])
@torch.inference_mode()
def test_sampling_sees_what_training_saw(tiny_model, builder, full):
    """The engine's cached prompt gives the training row's hidden states, with a prompt and with a dropped one."""
    tiny_model.head.sees_all = full
    gen = [GenerationSample(picture(1), "a red circle"), GenerationSample(picture(2), "two blue stars and a ring")]
    z, t = torch.randn(2, 4, 8, 8), torch.tensor([0.3, 0.3])
    embeds, _ = tiny_model.head.encode(z, t)
    prompts = [builder.template.generation_prompt(sample.prompt) for sample in gen]
    dropped = [builder.template.dropped_prompt(prompt) for prompt in prompts]
    cached, uncached = (
        kind(tiny_model.llm, prompts, embeds.shape[1], dropped, full)(embeds.repeat(2, 1, 1))
        for kind in (PromptRunner, UncachedPromptRunner)
    )
    torch.testing.assert_close(cached, uncached, atol=1e-5, rtol=1e-5)
    for drop, hidden in ((False, cached[:2]), (True, cached[2:])):
        batch = builder.collate([builder.generation(sample, True, drop) for sample in gen], [], gen)
        nothing = torch.empty(0, embeds.shape[1], embeds.shape[2])
        rows = tiny_model.embed_rows(batch.rows, nothing, embeds)
        output = tiny_model.run_llm(rows, batch.rows).hidden
        torch.testing.assert_close(output.flatten(0, 1)[batch.rows.gen_slots], hidden, atol=1e-5, rtol=1e-5)


def test_a_task_may_be_absent(tiny_model, builder, latents):
    _, gen, text = samples()
    only_text = builder.collate([builder.text(sample) for sample in text], [], [])
    losses = run(tiny_model, only_text, latents[:0])
    assert losses["flow"] == 0 and losses["repa"] == 0 and losses["ar"] > 0
    sum(losses.values()).backward()
    only_images = builder.collate([builder.generation(sample, True, False) for sample in gen], [], gen)
    losses = run(tiny_model, only_images, latents)
    assert losses["ar"] == 0 and losses["flow"] > 0
    sum(losses.values()).backward()


def test_query_key_norm_bounds_attention_and_is_saved_by_name(tiny_config, builder, latents):
    llm = dataclasses.replace(tiny_config.llm, qk_norm=True, num_kv_heads=1)
    model = UnifiedModel(dataclasses.replace(tiny_config, llm=llm))
    und, gen, text = samples()
    packed = builder.collate(sequences(builder, und, gen, text), und, gen)
    before = run(model, packed, latents)
    attention = model.llm.blocks[1].self_attn
    with torch.no_grad():
        attention.q_proj.weight.mul_(7)  # a norm forgets the scale
    torch.testing.assert_close(run(model, packed, latents), before, rtol=1e-4, atol=1e-5)
    sum(run(model, packed, latents).values()).backward()
    assert attention.k_proj.norm.grad.abs().sum() > 0
    assert "llm.causal_lm.model.layers.1.self_attn.q_proj.norm" in model.state_dict()
    keys = attention.k_proj(torch.randn(3, 5, 32)).unflatten(-1, (1, 16))
    torch.testing.assert_close(keys.square().mean(-1), torch.ones(3, 5, 1), rtol=1e-3, atol=1e-3)


def test_z_loss_adds_the_squared_log_of_the_partition_sum():
    logits, targets = torch.randn(4, 9), torch.tensor([1, 2, 3, 4])
    plain, with_z = (answer_cross_entropy(logits, targets, z_weight=w) for w in (0.0, 0.5))
    expected = 0.5 * logits.exp().sum(-1).log().square().mean()
    torch.testing.assert_close(with_z - plain, expected)
    shared = answer_cross_entropy(logits, targets, total=torch.tensor(8), z_weight=0.5)
    torch.testing.assert_close(shared, with_z / 2)


@pytest.mark.parametrize("encoder", ["separate", "shared"])
def test_understanding_in_latent_space(tiny_config, batch, latents, encoder):
    """Experiments B and C of Table 5: ConvNeXt features of the clean latent in the place of SigLIP's."""
    torch.manual_seed(0)
    model = UnifiedModel(dataclasses.replace(tiny_config, und_encoder=encoder))
    seen = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    tokens = model.embed_understanding(seen)
    assert tokens.shape == (2, 1 + model.head.num_tokens, 32)
    features, _ = model.head.encode(seen, torch.ones(2))
    same = model.vision.aligner(model.head.encoder(seen, torch.ones(2)).map.flatten(2).transpose(1, 2))
    torch.testing.assert_close(tokens[:, 1:], same, msg="both encoders start equal")
    assert not torch.allclose(tokens, features), "each task has its own aligner"

    model(batch.rows, batch.labels, seen, batch.gen_pixels, latents, batch.seeds)["ar"].backward()
    own = dict(model.named_parameters())["head.encoder.in_conv.weight"].grad
    assert (own is not None and bool(own.any())) == (encoder == "shared")
    assert not any(p.grad is not None and p.grad.any() for p in model.vision.tower.parameters())
    if encoder == "separate":
        assert model.latent_encoder.in_conv.weight.grad.any()
    without = UnifiedModel(dataclasses.replace(tiny_config, und_encoder=encoder, losses={}))
    assert without.vision.tower is None, "SigLIP is there where something needs it"
    tiny_config.losses["repa"].weight = 0.0
    plain = UnifiedModel(tiny_config)
    assert not [name for name in plain.state_dict() if name.startswith("projector")]
    assert run(plain, batch, latents).keys() == {"ar", "flow"}
