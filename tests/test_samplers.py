"""Solvers against differential equations whose solutions are known."""

import math

import pytest
import torch

from janusflow.samplers import SAMPLERS, integrate, time_grid


def decay(z, t):
    """dz/dt = 1 - 2 z has the solution z(1) = 1/2 + exp(-2) / 2 from z(0) = 1."""
    return 1 - 2 * z


def error(sampler: str, steps: int, shift: float = 1.0) -> float:
    z_1 = integrate(decay, torch.ones(1), steps, sampler, shift)
    return abs(z_1.item() - 0.5 - 0.5 * math.exp(-2))


def order(sampler: str, shift: float = 1.0) -> float:
    """Observed order of convergence: how fast the error falls when steps double."""
    return math.log2(error(sampler, 16, shift) / error(sampler, 32, shift))


def test_euler_is_first_order():
    assert order("euler") == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("sampler", ["heun", "midpoint", "ab2"])
def test_the_others_are_second_order(sampler):
    assert order(sampler) == pytest.approx(2, abs=0.25)


@pytest.mark.parametrize("shift", [0.5, 2.0])
def test_the_multistep_solver_keeps_its_order_on_uneven_steps(shift):
    assert order("ab2", shift) == pytest.approx(2, abs=0.25)


def test_a_multistep_solver_evaluates_once_a_step():
    calls = []
    integrate(lambda z, t: calls.append(float(t)) or decay(z, t), torch.ones(1), 10, "ab2")
    assert len(calls) == 11, "and once more to begin with"


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 7])
def test_exact_velocity_carries_noise_to_data(sampler, steps):
    """The straight path's velocity is constant, so that every solver is exact in any number of steps."""
    x, z_0 = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    torch.testing.assert_close(integrate(lambda z, t, *end: x - z_0, z_0, steps, sampler), x)


def test_marginal_velocity_turns_noise_into_a_gaussian():
    """Data N(m, s^2) and noise N(0, 1) are joined by the field E[x - z_0 | z_t], known in closed form."""
    m, s = 3.0, 0.5

    def velocity(z, t):
        variance = t**2 * s**2 + (1 - t) ** 2
        return m + (t * s**2 - (1 - t)) / variance * (z - t * m)

    z_1 = integrate(velocity, torch.randn(50_000, generator=torch.Generator().manual_seed(0)), 200, "heun")
    assert z_1.mean().item() == pytest.approx(m, abs=0.02)
    assert z_1.std().item() == pytest.approx(s, abs=0.02)


def test_time_runs_from_zero_to_one_and_a_shift_spends_more_steps_near_the_noise():
    torch.testing.assert_close(time_grid(4), torch.tensor([0, 0.25, 0.5, 0.75, 1]))
    times = time_grid(10, shift=3.0)
    assert times[0] == 0 and times[-1] == 1 and (times.diff() > 0).all()
    assert times[5] == pytest.approx(0.25)


def test_state_stays_fp32_under_a_bf16_velocity():
    """Thirty bf16 steps of 1/30 would end at t = 1.0034."""
    z_1 = integrate(lambda z, t: torch.ones_like(z, dtype=torch.bfloat16), torch.zeros(1, dtype=torch.bfloat16), 30)
    assert z_1.dtype == torch.float32
    assert z_1.item() == pytest.approx(1, abs=1e-6)
