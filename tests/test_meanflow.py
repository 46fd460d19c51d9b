"""Average velocities: closed forms, both derivatives, the trained flow as the start, the teacher's guidance."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import ndtr

from janusflow.data.rows import RowBuilder
from janusflow.data.sample import GenerationSample, TextSample
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.flow import TimeConfig, interpolate
from janusflow.guidance import guide
from janusflow.inference.prompt_cache import PromptRunner
from janusflow.losses import LossConfig
from janusflow.meanflow import MeanFlowConfig, MeanFlowLoss, guided_by
from janusflow.models.unified import Aside, Counts, Forward, UnifiedModel
from janusflow.options import FlowSampling
from janusflow.samplers import integrate
from tests.conftest import flow_sizes

MEAN, SPREAD = 0.8, 0.5
PROMPTS = ["a red circle", "two blue stars above a ring", "a ring"]


def spread_at(t):
    return (t * t * SPREAD**2 + (1 - t) ** 2).sqrt()


def gaussian_velocity(z, t):
    """E[x - z_0 | z_t] for data N(MEAN, SPREAD^2)."""
    offset = (z - t * MEAN) / spread_at(t) ** 2
    return MEAN + (t * SPREAD**2 - (1 - t)) * offset


def gaussian_average(z, t, r):
    """The flow carries z_t to the same quantile of the marginal at r."""
    return (r * MEAN + (z - t * MEAN) * spread_at(r) / spread_at(t) - z) / (r - t)


def two_points_velocity(z, t):
    """The same for data of two points, -1 and 1."""
    x = torch.tanh(t * z / (1 - t) ** 2)
    return x - (z - t * x) / (1 - t)


def two_points_average(z, t, r):
    """By quantiles, too, which bisection finds; its slope by differences, as it is no torch function."""

    def quantile(z, t):
        return 0.5 * (ndtr((z - t) / (1 - t)) + ndtr((z + t) / (1 - t)))

    z, t, r = (value.double().numpy() for value in (z, t, r))
    wanted, low, high = quantile(z, t), np.full_like(z, -8.0), np.full_like(z, 8.0)
    for _ in range(80):
        middle = (low + high) / 2
        below = quantile(middle, r) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return torch.from_numpy((low - z) / (r - t))


@pytest.mark.parametrize(
    ("velocity", "average", "derivative"),
    [
        (gaussian_velocity, gaussian_average, "forward"),
        (gaussian_velocity, gaussian_average, "difference"),
        (two_points_velocity, two_points_average, "difference"),
    ],
)
def test_closed_forms_are_their_own_targets(velocity, average, derivative):
    """With the marginal velocity the target of the true average velocity is itself, to 1e-3."""
    generator = torch.Generator().manual_seed(0)
    t, gap = torch.rand(2, 400, 1, generator=generator, dtype=torch.float64)
    t, r = 0.7 * t, 0.7 * t + 0.05 + 0.2 * gap
    z = torch.randn(400, 1, generator=generator, dtype=torch.float64)
    loss = MeanFlowLoss(MeanFlowConfig(derivative=derivative, delta=1e-5), flow_sizes())

    def told(z, t, r):
        return average(z, t[:, None], r[:, None])

    target = loss.target(told, velocity(z, t), z, t[:, 0], r[:, 0], progress=1.0)
    torch.testing.assert_close(target, average(z, t, r), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("velocity", "average", "latest", "degrees", "rate", "rounds"),
    [
        (gaussian_velocity, gaussian_average, 1.0, (2, 10, 10), 0.06, 120),
        (two_points_velocity, two_points_average, 0.4, (18, 5, 5), 0.04, 80),
    ],
)
def test_what_learns_its_own_targets_becomes_the_average_velocity(velocity, average, latest, degrees, rate, rounds):
    """A polynomial that begins as the velocity and is drawn to its targets, round by round, to 1e-3."""
    loss, reach = MeanFlowLoss(MeanFlowConfig(), flow_sizes()), 3.0
    generator = torch.Generator().manual_seed(0)

    def draw(count):
        times = latest * torch.rand(2, count, generator=generator, dtype=torch.float64)
        z = reach * (2 * torch.rand(count, 1, generator=generator, dtype=torch.float64) - 1)
        return z, *times.sort(0).values

    def features(z, t, r):
        sides = zip((z[:, 0] / reach, 2 * t / latest - 1, 2 * r / latest - 1), degrees, strict=True)
        return torch.einsum("ni,nj,nk->nijk", *(chebyshev(x, degree) for x, degree in sides)).flatten(1)

    z, t, r = draw(3000)
    fit = torch.linalg.pinv(features(z, t, r), rtol=1e-10)  # of least squares
    weights = fit @ velocity(z, t[:, None])
    for _ in range(rounds):
        target = loss.target(
            lambda z, t, r, w=weights: features(z, t, r) @ w, velocity(z, t[:, None]), z, t, r, progress=1.0
        )
        weights = weights + rate * (fit @ target - weights)
    z, t, r = (values[: len(z)] for values in draw(500))
    apart = r - t > 0.02  # else the exact one is a difference over nothing
    error = (features(z, t, r) @ weights - average(z, t[:, None], r[:, None]))[apart]
    assert error.square().mean().sqrt() < 1e-3
    begin, end = torch.zeros(len(z), dtype=torch.float64), torch.full((len(z),), latest, dtype=torch.float64)
    one = integrate(lambda z, t, r: features(z, begin, end) @ weights, z, 1, "meanflow") if latest == 1 else None
    assert one is None or (one - MEAN - SPREAD * z).abs().max() < 1e-2, "one step lands on the data"


def chebyshev(x, count):
    """The first polynomials (N, count) at x (N,) in [-1, 1]."""
    found = [torch.ones_like(x), x]
    while len(found) < count:
        found.append(2 * x * found[-1] - found[-2])
    return torch.stack(found[:count], -1)


@pytest.fixture
def student(tiny_config):
    """A tiny model that tells average velocities, with the weights of one that does not."""
    torch.manual_seed(3)
    losses = {**tiny_config.losses, "image": LossConfig("image", weight=0), "meanflow": MeanFlowConfig()}
    head = dataclasses.replace(tiny_config.head, average=True, time=TimeConfig(instant=0.3))
    teacher = UnifiedModel(tiny_config).eval()
    with torch.no_grad():
        for name, parameter in teacher.named_parameters():
            if "cond_embeds_mapper" in name or "channelwise_norm" in name:
                parameter.normal_(std=0.2)
    model = UnifiedModel(dataclasses.replace(tiny_config, head=head, losses=losses)).eval()
    missing = model.load_state_dict(teacher.state_dict(), strict=False)
    assert missing.missing_keys and all(key.startswith("head.interval_embed.") for key in missing.missing_keys)
    return model, teacher


def moved(model):
    """The student, as it may be after some training."""
    with torch.no_grad():
        model.head.interval_embed.time_embed.linear_2.weight.normal_(std=0.3)
    return model


def test_the_student_begins_as_the_trained_flow(student):
    model, teacher = student
    z, t = torch.randn(3, 4, 8, 8), torch.tensor([0.0, 0.4, 0.9])
    for r in (t, t + 0.1, torch.ones(3)):
        ours, features = model.head.encode(z, t, r)
        theirs, plain = teacher.head.encode(z, t)
        assert torch.equal(ours, theirs) and torch.equal(features.time, plain.time)
    changed, _ = moved(model).head.encode(z, t, torch.ones(3))
    assert not torch.equal(changed, theirs)


@pytest.fixture
def packed(tokenizer, tiny_config):
    """Rows with three prompts with images, one of them dropped, and some text; and the latents."""
    builder = RowBuilder(ChatTemplate(tokenizer, ChatConfig(), 16), 16, max_length=96)
    gen = [GenerationSample(Image.new("RGB", (16, 16)), prompt) for prompt in PROMPTS]
    sequences = [builder.generation(one, True, drop) for one, drop in zip(gen, (False, False, True), strict=True)]
    batch = builder.collate([*sequences, builder.text(TextSample("a circle is round."))], [], gen)
    return batch, torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1)), builder


def run(model, batch, latents, reference=None, progress=1.0):
    images = (batch.und_pixels, batch.gen_pixels, latents, batch.seeds)
    return model(batch.rows, batch.labels, *images, None, Aside(reference, progress=progress))


def forward_of(model, batch, latents, reference=None):
    """What the losses of a pass are given."""
    gen, state = model.head.prepare(latents, batch.seeds)
    und = model.embed_understanding(batch.und_pixels)
    output = model.run_llm(model.embed_rows(batch.rows, und, gen), batch.rows)
    counts = Counts.of(batch.labels, latents)
    return Forward(
        model,
        batch.rows,
        batch.labels,
        batch.gen_pixels,
        und,
        output.hidden,
        {},
        state,
        counts,
        Aside(reference, progress=1.0),
        {},
    )


def test_both_derivatives_agree_through_the_whole_model(student, packed):
    model, _ = student
    batch, latents, _ = packed
    run = forward_of(moved(model), batch, latents)
    t, r = torch.tensor([0.2, 0.5, 0.1]), torch.tensor([0.9, 0.6, 1.0])
    z_t, velocity = interpolate(latents, run.state.z_0, t), latents - run.state.z_0

    def average(z, t, r):
        embeds, features = model.head.encode(z, t, r)
        return model.head.decode(run.again(embeds), features)

    slopes = []
    for config in (MeanFlowConfig(), MeanFlowConfig(derivative="difference", delta=2e-5)):
        with torch.no_grad():
            slopes.append(MeanFlowLoss(config, model.config).slope(average, velocity, z_t, t, r))
    assert slopes[0].abs().max() > 0.1
    torch.testing.assert_close(*slopes, atol=0.03 * float(slopes[0].abs().max()), rtol=0.03)


def test_the_forward_derivative_never_meets_the_variable_length_kernel(student, packed, monkeypatch):
    """Which has no forward mode, and which nothing but CUDA has."""
    model, teacher = student
    batch, latents, _ = packed
    run = forward_of(moved(model), batch, latents, teacher)
    monkeypatch.setattr("janusflow.models.attention.has_varlen_kernel", lambda device, dtype: True)
    with torch.autocast("cpu", torch.bfloat16):
        assert model.get_submodule("loss_meanflow")(run).isfinite()


def test_where_both_times_are_one_the_loss_is_the_flows(student, packed):
    model, teacher = student
    batch, latents, _ = packed
    model.head.config.time.instant = 1.0
    model.get_submodule("loss_meanflow").config.power = 0.0
    found, expected = run(model, batch, latents), run(teacher, batch, latents)
    assert set(found) == {"ar", "repa", "meanflow"}
    # The same seeds draw other times for pairs; so the flow's loss is asked at theirs.
    said = forward_of(model, batch, latents)
    flow = teacher.head.loss(said.spans(said.hidden), said.state)
    torch.testing.assert_close(found["meanflow"], flow)
    torch.testing.assert_close(found["ar"], expected["ar"])


def test_a_second_time_is_drawn_only_for_the_loss_that_takes_it(student, tiny_config):
    model, _ = student
    plain = UnifiedModel(dataclasses.replace(tiny_config, head=model.config.head))  # with the image loss
    latents, seeds = torch.zeros(32, 4, 8, 8), torch.arange(32)
    ours, theirs = (one.head.prepare(latents, seeds)[1] for one in (model, plain))
    assert (ours.t < ours.r).any() and (ours.t <= ours.r).all()
    assert torch.equal(theirs.t, theirs.r)


def test_alpha_goes_from_flow_matching_to_meanflow():
    loss = MeanFlowLoss(MeanFlowConfig(alpha_from=0.2, alpha_to=0.8), flow_sizes())
    values = [loss.alpha(progress) for progress in (0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)]
    assert values == sorted(values, reverse=True) and values[0] == values[1] == 1 and values[-2:] == [0.0, 0.0]
    assert values[3] == pytest.approx(0.5)
    assert MeanFlowLoss(MeanFlowConfig(), flow_sizes()).alpha(0.0) == 0


def test_the_teachers_guided_velocity_is_the_samplers(student, packed, tokenizer):
    model, teacher = student
    batch, latents, builder = packed
    run = forward_of(model, batch, latents, teacher)
    t = torch.tensor([0.3, 0.6, 0.8])
    z_t = interpolate(latents, run.state.z_0, t)
    with torch.no_grad():
        found = guided_by(run, z_t, t, 3.0)
        for number in range(2):  # the third one's prompt is dropped: both halves are the same there
            prompt = builder.template.generation_prompt(PROMPTS[number])
            span = PromptRunner(teacher.llm, [prompt], 17, [builder.template.dropped_prompt(prompt)])
            embeds, features = teacher.head.encode(z_t[number : number + 1], t[number : number + 1])
            hidden = span(embeds.repeat(2, 1, 1))
            halves = [teacher.head.decode(half, features) for half in hidden.chunk(2)]
            torch.testing.assert_close(found[number : number + 1], guide(*halves, 3.0), atol=1e-4, rtol=1e-4)


def test_a_guided_loss_trains_everything_of_the_head(student, packed):
    model, teacher = student
    batch, latents, _ = packed
    model.get_submodule("loss_meanflow").config = MeanFlowConfig(guidance=4.0)
    run(moved(model).train(), batch, latents, teacher)["meanflow"].backward()
    without = [name for name, parameter in model.head.named_parameters() if parameter.grad is None]
    assert not without and all(parameter.grad is None for parameter in teacher.parameters())


def test_average_velocities_are_exact_in_any_number_of_steps():
    z_0 = torch.randn(50, 1, dtype=torch.float64).float()
    for steps in (1, 3):
        z_1 = integrate(lambda z, t, r: gaussian_average(z, t, r), z_0, steps, "meanflow")
        torch.testing.assert_close(z_1, MEAN + SPREAD * z_0, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("head", "options", "message"),
    [
        ({}, {"sampler": "meanflow"}, "for models that tell average velocities"),
        ({"guided": True}, {"guidance": 2.0}, "has learnt its teacher's guidance: guidance must be 1, got 2"),
    ],
)
def test_impossible_options_are_refused(tiny_config, head, options, message):
    config = dataclasses.replace(tiny_config.head, **head)
    with pytest.raises(ValueError, match=message):
        config.sampling({"guidance": 1.0, **options})
    assert config.sampling({"guidance": 1.0}) == FlowSampling(guidance=1.0)


def test_the_loss_wants_a_head_that_tells_average_velocities(tiny_config):
    with pytest.raises(ValueError, match=r"model\.head\.average=true"):
        dataclasses.replace(tiny_config, losses={"mine": MeanFlowConfig()})
    head = dataclasses.replace(tiny_config.head, average=True)
    with pytest.raises(ValueError, match=r"the loss image .* beside meanflow"):
        dataclasses.replace(tiny_config, head=head, losses={**tiny_config.losses, "meanflow": MeanFlowConfig()})
    with pytest.raises(ValueError, match="alpha_from"):
        MeanFlowConfig(alpha_from=0.5, alpha_to=0.2)
