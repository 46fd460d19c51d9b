"""The three losses: what they are made of in closed form, and that weights which drew have a ratio of 1."""

import copy

import pytest
import torch

from janusflow.models.unified import Aside, Counts, Drawn
from janusflow.rl.flow_grpo import sde_path
from janusflow.rl.grpo import clipped
from janusflow.rl.nft import optimum
from janusflow.rl.rollouts import Share
from janusflow.samplers import time_grid
from tests.rl.conftest import bundle_of, rollouts_of

FLOW = {"steps": 3, "guidance": 2.0}
CODES = {"guidance": 3.0, "temperature": 0.8}
WHOLE = Share(0, 1)


def losses(bundle, rollouts, model=None, count=6, reference=None, old=None, share=WHOLE):
    """The losses of a step on the round's first things, and what they note."""
    rollouts.draw(0, bundle.model)
    rollouts.round = rollouts.load(0)
    batch, values = rollouts.batch(0, 0, count, share)
    drawn = Drawn(values, rollouts.options)
    model = model or bundle.model
    aside = Aside(reference or bundle.model, old or bundle.model, drawn=drawn)
    given = (batch.rows, batch.labels, batch.und_pixels, batch.gen_pixels, batch.gen_latents, batch.seeds)
    return model(*given, Counts.of(batch.labels, batch.gen_latents), aside), drawn


@pytest.mark.parametrize(
    ("kind", "sampling", "settings"),
    [
        ("flow_grpo", FLOW, {}),
        ("flow_grpo", {**FLOW, "guidance": 1.0}, {}),
        ("grpo", CODES, {}),
        ("grpo", {**CODES, "guidance": 1.0}, {}),
        ("grpo", CODES, {"guided": False}),
    ],
)
def test_weights_that_drew_have_a_ratio_of_1_and_others_do_not(kind, sampling, settings, tokenizer, tmp_path, prompts):
    bundle = bundle_of(kind, tokenizer, kl=0.1, **settings)
    rollouts = rollouts_of(bundle, tmp_path / "a", prompts, sampling)
    found, drawn = losses(bundle, rollouts)
    assert float(found["ratio"].detach()) == pytest.approx(1, abs=1e-5)
    assert float(found["clipped"]) == 0 and float(found["kl"]) == pytest.approx(0, abs=1e-6)
    mean = drawn.values["advantage"].mean()
    assert float(found[kind].detach()) == pytest.approx(-float(mean), abs=1e-5)

    moved = copy.deepcopy(bundle.model)
    with torch.no_grad():
        for parameter in moved.head.parameters():
            parameter.mul_(1.1)
    other, _ = losses(bundle, rollouts, moved)
    assert abs(float(other["ratio"].detach()) - 1) > 1e-4 and float(other["kl"]) > 1e-5
    other[kind].backward()
    assert all(p.grad is not None for p in moved.llm.blocks.parameters())


@pytest.mark.parametrize(
    ("kind", "sampling"), [("flow_grpo", FLOW), ("grpo", CODES), ("nft", {"steps": 2, "guidance": 1.0})]
)
def test_a_share_without_an_image_has_a_loss_of_0(kind, sampling, tokenizer, tmp_path, prompts):
    bundle = bundle_of(kind, tokenizer, kl=0.1)
    rollouts = rollouts_of(bundle, tmp_path / "a", prompts, sampling)
    found, _ = losses(bundle, rollouts, count=1, share=Share(1, 2))
    assert not any(float(value.detach()) for value in found.values())
    bundle.model.total(found).backward()  # all ranks go through the whole model
    assert all(not p.grad.any() for p in bundle.model.llm.blocks.parameters())


def test_a_mismatch_of_guidance_is_seen(tokenizer, tmp_path, prompts):
    bundle = bundle_of("grpo", tokenizer)
    rollouts_of(bundle, tmp_path / "a", prompts, CODES).draw(0, bundle.model)
    unguided = bundle_of("grpo", tokenizer, guided=False)
    unguided.model.load_state_dict(bundle.model.state_dict())
    rollouts_of(unguided, tmp_path / "b", prompts, CODES).draw(0, unguided.model)
    first, second = (rollouts_of(bundle, tmp_path / name, prompts, CODES).load(0) for name in "ab")
    assert first.latents.equal(second.latents) and not torch.allclose(
        first.values["log_prob"], second.values["log_prob"], atol=0.1
    )


def test_the_sde_ends_with_the_mean_and_variance_of_the_ode():
    mean, spread = 0.7, 0.5  # of a Gaussian of data, whose velocity has a closed form

    def velocity(z, t):
        variance = t**2 * spread**2 + (1 - t) ** 2
        return mean + (t * spread**2 - (1 - t)) / variance * (z - t * mean)

    start = torch.randn(8, 2500, generator=torch.Generator().manual_seed(0))
    ends = {}
    for steps in (40, 160):
        generators = [torch.Generator().manual_seed(seed) for seed in range(len(start))]
        ends[steps] = sde_path(velocity, start, time_grid(steps), 0.7, generators)[:, -1]
        assert float(ends[steps].mean()) == pytest.approx(mean, abs=0.02)
        assert float(ends[steps].std()) == pytest.approx(spread, rel=0.05)
        correlation = torch.corrcoef(torch.stack([start.flatten(), ends[steps].flatten()]))[0, 1]
        assert float(correlation) < 0.9, "the ODE's end is a function of its start"


@pytest.mark.parametrize("t", [0.2, 0.6])
@pytest.mark.parametrize("z", [-0.5, 0.3, 1.1])
def test_the_minimiser_of_nft_is_the_velocity_of_the_tilted_distribution(t, z):
    arms, shares, rewards = torch.tensor([-1.0, 2.0]), torch.tensor([0.7, 0.3]), torch.tensor([0.2, 0.9])
    likelihood = torch.exp(-0.5 * ((z - t * arms) / (1 - t)) ** 2)
    velocities = (arms - z) / (1 - t)  # x - z_0 where z is known
    posterior = shares * likelihood / (shares * likelihood).sum()
    tilted = shares * rewards * likelihood / (shares * rewards * likelihood).sum()
    old, wanted = (posterior * velocities).sum(), (tilted * velocities).sum()
    good = float((posterior * rewards).sum())

    def loss(away, beta):
        return (posterior * optimum(old.expand(2), beta * away.expand(2), velocities, rewards)).sum()

    for beta in (2 * good, 1.0):  # the first makes it the tilted distribution's own
        nothing = torch.zeros((), requires_grad=True)
        (slope,) = torch.autograd.grad(loss(nothing, beta), nothing)
        best = -slope / (2 * beta**2)  # of a parabola
        assert float(old + best) == pytest.approx(float(old + 2 * good / beta * (wanted - old)), abs=1e-5)
        assert loss(best, beta) < loss(best + 0.1, beta) and loss(best, beta) < loss(best - 0.1, beta)


def test_nft_draws_good_images_near_and_bad_ones_away(tokenizer, tmp_path, prompts):
    bundle = bundle_of("nft", tokenizer)
    rollouts = rollouts_of(bundle, tmp_path / "a", prompts, {"steps": 2, "guidance": 1.0})
    model = copy.deepcopy(bundle.model)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    values = []
    for _ in range(4):
        found, _ = losses(bundle, rollouts, model)
        values.append(float(found["nft"].detach()))
        optimizer.zero_grad()
        found["nft"].backward()
        optimizer.step()
    assert values[-1] < values[0] and float(found["moved"]) > 0


def test_clipped_ratios_push_no_further():
    ratios, advantages = torch.tensor([0.5, 1.0, 1.5]), torch.tensor([1.0, 1.0, 1.0])
    for sign, gradients in ((1, [-0.5, -1.0, 0.0]), (-1, [0.0, 1.0, 1.5])):
        logs = ratios.log().requires_grad_()
        loss, _ = clipped(logs, sign * advantages, 0.2)
        loss.sum().backward()
        assert logs.grad.tolist() == pytest.approx(gradients)
