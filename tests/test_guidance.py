"""Classifier-free guidance."""

import pytest
import torch

from janusflow.guidance import (
    build_form,
    check_guidance,
    dropped_forms,
    guide,
    guide_by_image,
    guided_velocity,
    inner,
)

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


def halves(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two velocities (3, 4, 5, 5) and a point."""
    v_cond, v_uncond, z = torch.randn(3, 3, 4, 5, 5, generator=torch.Generator().manual_seed(seed))
    return v_cond, v_uncond, z


@pytest.mark.parametrize("form", ["plain", "zero_star(scaled=0, still=0)", "apg(parallel=1)", "rescaled(share=0)"])
def test_every_form_is_plain_guidance_at_its_neutral_setting(form):
    v_cond, v_uncond, z = halves()
    for weight in (0.0, 1.5, 4.0):
        for t in (0.0, 0.3, 1.0):
            found = build_form(form, weight)(v_cond, v_uncond, z, torch.tensor(t))
            assert torch.equal(found, weight * v_cond + (1 - weight) * v_uncond)


def test_zero_star_scales_the_unconditional_half_to_come_nearest():
    v_cond, v_uncond, z = halves()
    assert not build_form("zero_star", 4.0)(v_cond, v_uncond, z, torch.tensor(0.03)).any()
    found = build_form("zero_star", 0.0)(v_cond, v_uncond, z, T)  # what is left of it at w = 0
    rest = v_cond - found
    torch.testing.assert_close(inner(rest, v_uncond).flatten(), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(build_form("zero_star", 4.0)(2 * v_uncond, v_uncond, z, T), 2 * v_uncond)


def test_projected_guidance_moves_the_clean_image_across_its_conditional_prediction():
    v_cond, v_uncond, z = halves()
    moved = 0.5 * (build_form("apg", 4.0)(v_cond, v_uncond, z, T) - v_cond)  # of x, at t = 0.5
    clean = z + 0.5 * v_cond
    torch.testing.assert_close(inner(moved, clean).flatten(), torch.zeros(3), atol=2e-3, rtol=0)
    limited = build_form("apg(parallel=1, limit=0.1)", 4.0)(v_cond, v_uncond, z, T)
    sizes = (0.5 * (limited - v_cond)).square().flatten(1).mean(1).sqrt()
    torch.testing.assert_close(sizes, torch.full((3,), 0.3))  # (w - 1) times the limit
    still = build_form("apg(parallel=1, momentum=-1)", 4.0)
    still(v_cond, v_uncond, z, T)
    torch.testing.assert_close(still(v_cond, v_uncond, z, T), v_cond)  # the same difference twice


def test_rescaled_guidance_has_the_conditional_norm_at_most():
    v_cond, v_uncond, z = halves()
    found = build_form("rescaled", 8.0)(v_cond, v_uncond, z, T)
    torch.testing.assert_close(inner(found, found), inner(v_cond, v_cond))
    half = build_form("rescaled", 0.5)(v_cond, v_uncond, z, T)  # shorter already
    torch.testing.assert_close(half, 0.5 * v_cond + 0.5 * v_uncond)


@pytest.mark.parametrize("form", ["apg(parallel=1, limit=1000)", "apg(momentum=-0.5)"])
def test_projected_guidance_goes_on_to_the_end_of_time(form):
    v_cond, v_uncond, z = halves()
    combine = build_form(form, 4.0)
    for t in (0.5, 0.9, 1.0):
        found = combine(v_cond, v_uncond, z, torch.tensor(t))
    assert found.square().mean().sqrt() < 10
    if "parallel=1" in form:
        torch.testing.assert_close(found, guide(v_cond, v_uncond, 4.0))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("plane", "did you mean plain"),
        ("apg(along=1)", "no setting 'along'; it has parallel, limit, momentum"),
        ("apg(parallel)", "'parallel' is not setting=number"),
        ("apg(momentum=nan)", "'momentum=nan' is not setting=number"),
        ("apg(limit=-1)", "apg needs limit > 0"),
        ("zero_star(still=1)", "zero_star needs 0 <= still < 1"),
        ("apg(parallel=1", r"NAME\(setting=number"),
    ],
)
def test_an_impossible_form_is_refused_in_one_line(form, message):
    with pytest.raises(ValueError, match=message):
        check_guidance(2.0, form=form)


@pytest.mark.parametrize(("words", "image"), [(2.0, 1.5), (1.0, 3.0), (0.0, 0.0), (7.5, 1.0), (3.0, 0.0)])
def test_two_guidances_are_equation_three_of_instructpix2pix(words, image):
    z = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    both, shown, empty = 2 * z, z - 1, -z
    wanted = empty + image * (shown - empty) + words * (both - shown)
    found = guided_velocity(lambda z, t: both, lambda z, t: (both, shown, empty), words, image_weight=image)(z, T)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(guide_by_image(guide(both, shown, words), shown, empty, image), wanted)


def test_only_what_does_not_cancel_out_is_asked():
    assert dropped_forms(1.0) == () and dropped_forms(2.0) == ("all",)
    assert dropped_forms(2.0, 2.0) == ("all",) and dropped_forms(1.0, 1.0) == ()
    assert dropped_forms(2.0, 1.0) == ("words",)
    assert dropped_forms(2.0, 1.5) == dropped_forms(1.0, 1.5) == ("words", "all")
