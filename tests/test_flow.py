"""The path, the distributions of time and the loss."""

import torch

from janusflow.flow import TimeConfig, interpolate, sample_times, target_velocity, velocity_loss


def test_path_runs_from_noise_to_data():
    x, z_0 = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    torch.testing.assert_close(interpolate(x, z_0, torch.zeros(3)), z_0)
    torch.testing.assert_close(interpolate(x, z_0, torch.ones(3)), x)


def test_velocity_is_the_paths_derivative():
    x, z_0 = torch.randn(2, 5, dtype=torch.float64), torch.randn(2, 5, dtype=torch.float64)
    t, h = torch.tensor([0.2, 0.7], dtype=torch.float64), 1e-6
    slope = (interpolate(x, z_0, t + h) - interpolate(x, z_0, t - h)) / (2 * h)
    torch.testing.assert_close(slope, target_velocity(x, z_0), atol=1e-8, rtol=1e-6)


def test_logit_normal_times_have_a_normal_logit():
    t = sample_times(20_000, TimeConfig(mean=0.5, std=2.0), torch.Generator().manual_seed(0))
    logit = torch.logit(t.double())
    assert abs(logit.mean() - 0.5) < 0.05 and abs(logit.std() - 2.0) < 0.05


def test_uniform_times_fill_the_interval():
    t = sample_times(20_000, TimeConfig("uniform"), torch.Generator().manual_seed(0))
    assert t.min() >= 0 and t.max() < 1
    torch.testing.assert_close(
        t.quantile(torch.tensor([0.25, 0.5, 0.75])), torch.tensor([0.25, 0.5, 0.75]), atol=0.02, rtol=0
    )


def test_times_depend_on_the_generator_alone():
    first = sample_times(8, TimeConfig(), torch.Generator().manual_seed(3))
    torch.manual_seed(99)
    torch.testing.assert_close(sample_times(8, TimeConfig(), torch.Generator().manual_seed(3)), first)


def test_loss_is_zero_only_for_the_exact_velocity():
    x, z_0 = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3)
    assert velocity_loss(x - z_0, x, z_0) == 0
    torch.testing.assert_close(velocity_loss(x - z_0 + 0.5, x, z_0), torch.tensor(0.25))
    assert velocity_loss((x - z_0).bfloat16(), x, z_0).dtype == torch.float32
