"""Images of several shapes: packed together, placed by row and column, drawn as they are trained."""

import dataclasses

import pytest
import torch
from PIL import Image
from timm.models.vision_transformer import VisionTransformer

from janusflow.data.buckets import buckets_of, nearest
from janusflow.data.rows import RowBuilder
from janusflow.data.sample import GenerationSample, TextSample, UnderstandingSample
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.flow import TimeConfig, shift_times
from janusflow.inference.prompt_cache import PromptRunner, UncachedPromptRunner
from janusflow.models.shapes import Grid, grid_for, parse_size
from janusflow.models.spans import span_offsets
from janusflow.models.unified import Images, UnifiedModel
from janusflow.options import CodeSampling, FlowSampling
from janusflow.repa import RepaConfig

SIDE, TOKEN = 16, 4
SIZES = [[16, 16], [8, 32]]  # 4 x 4 and 2 x 8 tokens
POSITIONS = ("raster", "grid", "fitted")


def placed_by(config, positions):
    return dataclasses.replace(config, llm=dataclasses.replace(config.llm, image_positions=positions))


def model_of(config, positions="raster"):
    """A tiny model, away from its zero start."""
    torch.manual_seed(0)
    model = UnifiedModel(placed_by(config, positions)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "cond_embeds_mapper" in name or "channelwise_norm" in name:
                parameter.normal_(std=0.2)
    return model


def builder_of(model, tokenizer, sizes=SIZES, length=160):
    template = ChatTemplate(tokenizer, ChatConfig(), 16, model.head.dropped)
    return RowBuilder(template, SIDE, length, buckets=buckets_of(sizes, model.config))


def picture(seed, height, width):
    levels = torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(seed))
    return Image.fromarray(levels.byte().numpy())


SAMPLES = [
    GenerationSample(picture(1, 20, 20), "a red circle"),
    GenerationSample(picture(2, 10, 50), "two blue stars"),
    GenerationSample(picture(3, 30, 33), "a ring"),
    GenerationSample(picture(4, 9, 30), "a cross"),
]


def latents_of(model, images, seed):
    shape = model.head.latent_shape_of(model.grid_of(images.pixels))
    generator = torch.Generator().manual_seed(seed)
    if not model.head.latent_dtype.is_floating_point:
        return torch.randint(0, 64, (len(images.seeds), *shape), generator=generator)
    return torch.randn(len(images.seeds), *shape, generator=generator)


def losses_of(model, batch):
    """As the trainer has them, with random latents by the images' shapes."""
    first = Images(batch.gen_pixels, None, batch.seeds, batch.noise)
    further = [one._replace(latents=latents_of(model, one, 7 + n)) for n, one in enumerate(batch.further)]
    images = (batch.und_pixels, batch.gen_pixels, latents_of(model, first, 6), batch.seeds)
    return model(batch.rows, batch.labels, *images, further=further)


def test_images_take_the_nearest_shape_and_share_rows(tiny_config, tokenizer):
    assert [nearest(SIZES, *sample.image.size) for sample in SAMPLES] == [0, 1, 0, 1]
    assert nearest([[10, 10], [10, 20]], 14, 10) == 0 and nearest([[10, 10], [10, 20]], 10, 7) == 1, "by the logarithm"
    builder = builder_of(model_of(tiny_config), tokenizer, [[16, 16], [8, 24]])
    und, text = UnderstandingSample([picture(5, 16, 16)], [("how many?", "two")]), TextSample("a ring has a hole.")
    sequences = [builder.understanding(und), *(builder.generation(one, True, False) for one in SAMPLES)]
    batch = builder.collate([*sequences, builder.text(text)], [und], SAMPLES, [10, 11, 12, 13])
    rows = batch.rows
    assert len(rows.ids) < len(sequences), "a row holds several"
    (wide,) = batch.further
    assert (batch.gen_pixels.shape, wide.pixels.shape) == ((2, 3, 16, 16), (2, 3, 8, 24))
    assert (batch.seeds.tolist(), wide.seeds.tolist(), batch.generated) == ([10, 12], [11, 13], 4)
    for slots, tokens in ((rows.gen_slots, 16), (rows.further[0], 12)):
        found = rows.ids.flatten()[slots]
        assert found.shape == (2, 1 + tokens)
        assert (found[:, 0] == tokenizer.boi).all() and (found[:, 1:] == tokenizer.image).all()
    owners = [rows.segments.flatten()[slots[:, 0]].tolist() for slots in rows.drawn]
    assert owners == [[1, 3], [2, 4]]


@pytest.mark.parametrize("kind", ["flow", "codes"])
@pytest.mark.parametrize("positions", POSITIONS)
def test_shapes_together_are_the_mean_of_each_alone(request, tokenizer, kind, positions):
    """Loss and gradients of one packed step, by the numbers of images; so with full attention among an image's."""
    config = request.getfixturevalue("tiny_config" if kind == "flow" else "tiny_janus_config")
    model = model_of(config, positions)
    model.head.sees_all = kind == "flow" and positions == "grid"
    builder = builder_of(model, tokenizer)
    parts = [builder.generation(sample, True, number == 0) for number, sample in enumerate(SAMPLES[:3])]
    seeds = [3, 4, 5]

    def step(own):
        batch = builder.collate([parts[n] for n in own], [], [SAMPLES[n] for n in own], [seeds[n] for n in own])
        model.zero_grad()
        losses = losses_of(model, batch)
        sum(losses.values()).backward()
        return losses, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}

    (all_losses, all_grads), (square, ours), (wide, theirs) = (step(own) for own in ([0, 1, 2], [0, 2], [1]))
    for name, loss in all_losses.items():
        torch.testing.assert_close(loss, (2 * square[name] + wide[name]) / 3, atol=1e-5, rtol=1e-5)
    for name, grad in all_grads.items():
        expected = (2 * ours.get(name, torch.zeros_like(grad)) + theirs.get(name, torch.zeros_like(grad))) / 3
        torch.testing.assert_close(grad, expected, atol=1e-5, rtol=1e-3)


def test_a_shape_may_be_absent_from_a_step(tiny_config, tokenizer):
    """Every part runs all the same, as on other ranks."""
    model = model_of(tiny_config)
    builder = builder_of(model, tokenizer)
    for own in (SAMPLES[:1], SAMPLES[1:2], []):
        batch = builder.collate([builder.generation(one, True, False) for one in own], [], own)
        losses = losses_of(model, batch)
        sum(losses.values()).backward()
        assert (losses["flow"] > 0) == bool(own) and all(loss.isfinite() for loss in losses.values())


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("positions", POSITIONS)
@torch.inference_mode()
def test_sampling_sees_what_training_saw_of_any_shape(tiny_config, tokenizer, positions, full):
    """The engine's cached prompt, its naive twin and the training row, with a prompt and with a dropped one."""
    model = model_of(tiny_config, positions)
    model.head.sees_all = full
    builder = builder_of(model, tokenizer, [[8, 24]])
    grid, samples = Grid(2, 6), [SAMPLES[1], SAMPLES[3]]
    z, t = torch.randn(2, *model.head.latent_shape_of(grid)), torch.tensor([0.3, 0.3])
    embeds, _ = model.head.encode(z, t)
    prompts = [builder.template.generation_prompt(sample.prompt) for sample in samples]
    dropped = [builder.template.dropped_prompt(prompt) for prompt in prompts]
    cached, uncached = (
        kind(model.llm, prompts, 1 + grid.tokens, dropped, full, offsets=model.span_offsets(grid))(
            embeds.repeat(2, 1, 1)
        )
        for kind in (PromptRunner, UncachedPromptRunner)
    )
    torch.testing.assert_close(cached, uncached, atol=1e-5, rtol=1e-5)
    for drop, hidden in ((False, cached[:2]), (True, cached[2:])):
        batch = builder.collate([builder.generation(one, True, drop) for one in samples], [], samples)
        rows = model.embed_rows(batch.rows, torch.empty(0, *embeds.shape[1:]), embeds)
        output = model.run_llm(rows, batch.rows).hidden
        torch.testing.assert_close(output.flatten(0, 1)[batch.rows.gen_slots], hidden, atol=1e-5, rtol=1e-5)


def test_positions_of_a_span():
    assert span_offsets("raster", Grid(2, 3), 4).tolist() == [0, 1, 2, 3, 4, 5, 6]
    places = [[0, 0], [1, 1], [1, 2], [1, 3], [2, 1], [2, 2], [2, 3]]
    assert span_offsets("grid", Grid(2, 3), 4).tolist() == places
    assert torch.equal(span_offsets("fitted", Grid(4, 2), 4), span_offsets("grid", Grid(4, 2), 4))
    large = span_offsets("fitted", Grid(2, 8), 4)[1:]
    assert large[:, 1].tolist()[:8] == [0.75 + 0.5 * column for column in range(8)], "eight columns over four"
    assert large[[0, 8], 0].tolist() == [0.75, 1.25]


@torch.inference_mode()
def test_text_is_where_it_was_and_rows_and_columns_turn_apart(tiny_config):
    llm = model_of(tiny_config).llm
    one = torch.arange(5).unsqueeze(0)
    for theirs, ours in zip(
        llm.rotary(torch.stack([one, one], -1), torch.float32), llm.rotary(one, torch.float32), strict=True
    ):
        assert torch.equal(theirs, ours)
    down, across = (llm.rotary(torch.tensor([[place]]), torch.float32).cos[0, 0] for place in ([3.0, 0.0], [0.0, 3.0]))
    still_down, still_across = ((one == 1).tolist() for one in (down, across))
    assert still_down == [not one for one in still_across] and 0 < sum(still_down) < len(still_down)


def test_siglip_reads_other_shapes_with_interpolated_positions(tiny_config):
    """As timm's own towers of dynamic size do."""
    vision = model_of(tiny_config).vision
    config = vision.config
    theirs = VisionTransformer(
        img_size=16, patch_size=4, embed_dim=config.width, depth=config.depth, num_heads=config.num_heads,
        class_token=False, global_pool="map", num_classes=0, norm_layer=type(vision.tower.norm), dynamic_img_size=True,
    )  # fmt: skip
    theirs.load_state_dict(vision.tower.state_dict())
    theirs.norm.eps = vision.tower.norm.eps
    for block, ours in zip(theirs.blocks, vision.tower.blocks, strict=True):
        block.norm1.eps, block.norm2.eps = ours.norm1.eps, ours.norm2.eps
    for shape in ((8, 32), (24, 16), (16, 16)):
        pixels = torch.rand(2, 3, *shape) * 2 - 1
        with torch.no_grad():
            torch.testing.assert_close(vision.features(pixels, any_shape=True), theirs.eval().forward_features(pixels))
    with pytest.raises(ValueError, match=r"SigLIP takes \(B, 3, 16, 16\)"):
        vision.features(torch.zeros(1, 3, 8, 32))
    with pytest.raises(ValueError, match="in patches of 4"):
        vision.features(torch.zeros(1, 3, 10, 32), any_shape=True)


def test_the_projector_of_repa_knows_the_shape(tiny_config, tokenizer):
    losses = {**tiny_config.losses, "repa": RepaConfig(block=1, projector="conv")}
    model = model_of(dataclasses.replace(tiny_config, losses=losses))
    builder = builder_of(model, tokenizer)
    batch = builder.collate([builder.generation(one, True, False) for one in SAMPLES], [], SAMPLES)
    assert -1 <= losses_of(model, batch)["repa"] <= 1
    features = torch.randn(1, 16, 32)
    assert not torch.allclose(*(model.losses["repa"].project(features, grid) for grid in (Grid(4, 4), Grid(2, 8))))


def test_times_follow_the_number_of_tokens(tiny_config):
    """sqrt(N / N_square) in the sampler's shift and, where asked for, in training's times."""
    head = model_of(tiny_config).head
    wide, square = (torch.zeros(2, *head.latent_shape_of(Grid(*grid))) for grid in ((4, 8), (4, 4)))
    options = FlowSampling(shift=3.0, shift_scale="tokens")
    assert head.shift(options, square) == 3 and head.shift(options, wide) == pytest.approx(3 * 2**0.5)
    assert head.shift(FlowSampling(shift=3.0), wide) == 3
    assert "time shift 3 by tokens" in options.describe()
    seeds = torch.tensor([1, 2])
    plain = head.prepare(wide, seeds)[1].t
    head.time = TimeConfig(by_tokens=True)
    torch.testing.assert_close(head.prepare(wide, seeds)[1].t, shift_times(plain, 2**0.5))
    torch.testing.assert_close(head.prepare(square, seeds)[1].t, plain)
    assert (shift_times(plain, 2**0.5) < plain).all(), "nearer to the noise, which is at 0"


@torch.inference_mode()
def test_heads_draw_any_shape(tiny_config, tiny_janus, tiny_vq, tokenizer):
    flow = model_of(tiny_config, "grid")
    for model, options in ((flow, FlowSampling(2, 1.0)), (tiny_janus, CodeSampling(1.0))):
        grid = Grid(2, 6)
        prompts = [[1, 2, 3], [1, 4]]
        runner = PromptRunner(model.llm, prompts, 1 + grid.tokens, offsets=model.span_offsets(grid))
        start = model.head.start([5, 6], torch.device("cpu"), grid)
        drawn = model.head.sample(runner, start, options)
        assert drawn.shape == (2, *model.head.latent_shape_of(grid))
    assert tiny_vq.decode(drawn, grid).shape == (2, 3, 8, 24)
    with pytest.raises(ValueError, match="an image of 2 x 5 codes has 10, not 12"):
        tiny_vq.decode(drawn, (2, 5))
    with pytest.raises(ValueError, match="sides that 2 divides"):
        flow.head.encode(torch.zeros(1, 4, 3, 8), torch.ones(1))


@pytest.mark.parametrize(
    ("size", "fault"),
    [((10, 16), "multiples of 4 pixels, got the size 10x16"), ((0, 16), "multiples of 4 pixels")],
)
def test_sizes_that_a_model_cannot_draw_are_named(tiny_config, size, fault):
    assert grid_for(tiny_config, (8, 32)) == Grid(2, 8)
    with pytest.raises(ValueError, match=fault):
        grid_for(tiny_config, size)


@pytest.mark.parametrize("text", ["", "48", "48x", "x48", "48x-4", "48x64x3", "a x b"])
def test_what_is_no_size_is_named(text):
    assert parse_size(" 48x64 ") == (48, 64)
    with pytest.raises(ValueError, match="a size is HEIGHTxWIDTH in pixels"):
        parse_size(text)
