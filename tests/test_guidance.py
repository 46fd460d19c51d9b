"""Classifier-free guidance."""

import torch

from janusflow.guidance import guided_velocity

T = torch.tensor(0.5)


def conditional(z, t):
    return 2 * z


def pair(z, t):
    return 2 * z, -z


def test_weight_one_is_the_conditional_velocity_itself():
    def never(z, t):
        raise AssertionError("the unconditional half was computed")

    assert guided_velocity(conditional, never, 1.0) is conditional


def test_weights_extrapolate_from_the_unconditional_velocity():
    """Eq. 5: v = w v_cond + (1 - w) v_uncond."""
    z = torch.randn(3)
    for weight in (0.0, 0.5, 2.0, 7.5):
        torch.testing.assert_close(guided_velocity(conditional, pair, weight)(z, T), weight * 2 * z - (1 - weight) * z)
