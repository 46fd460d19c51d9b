"""Representation alignment."""

import pytest
import torch

from janusflow.repa import alignment_loss


def test_aligned_features_give_minus_one_and_opposite_ones_plus_one():
    features = torch.randn(2, 9, 8)
    assert alignment_loss(3 * features, features).item() == pytest.approx(-1, abs=1e-6)
    assert alignment_loss(-features, features).item() == pytest.approx(1, abs=1e-6)


def test_no_gradient_reaches_the_target():
    projected, target = torch.randn(2, 9, 8, requires_grad=True), torch.randn(2, 9, 8, requires_grad=True)
    alignment_loss(projected, target).backward()
    assert target.grad is None
    assert projected.grad.abs().sum() > 0


def test_grids_must_agree():
    with pytest.raises(ValueError, match="grid"):
        alignment_loss(torch.randn(2, 9, 8), torch.randn(2, 16, 8))
