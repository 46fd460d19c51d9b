"""Representation alignment."""

import dataclasses

import pytest
import torch
from PIL import Image

from janusflow.data.rows import RowBuilder
from janusflow.data.sample import GenerationSample
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.data.tokenizer import TextTokenizer
from janusflow.models.unified import Aside, UnifiedModel
from janusflow.models.vision import VisionEncoder
from janusflow.repa import RepaConfig, alignment_loss, spatially_normalized
from janusflow.weights import ASSETS
from tests.conftest import flow_sizes


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


def test_spatially_normalized_targets_keep_what_differs_over_the_picture():
    features = torch.randn(2, 9, 8) + 5 * torch.randn(2, 1, 8)
    found = spatially_normalized(features, 1.0)
    torch.testing.assert_close(found.mean(1), torch.zeros(2, 8), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std(1), torch.ones(2, 8), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(spatially_normalized(3 * features - 7, 1.0), found, atol=1e-4, rtol=1e-4)


def losses(config, progress):
    torch.manual_seed(0)
    model = UnifiedModel(dataclasses.replace(flow_sizes(), losses={"repa": config}))
    builder = RowBuilder(ChatTemplate(vocabulary(), ChatConfig(), 16), 16, 64)
    samples = [GenerationSample(Image.new("RGB", (16, 16), colour), "a ring") for colour in ("red", "blue")]
    batch = builder.collate([builder.generation(one, True, False) for one in samples], [], samples)
    images = (batch.und_pixels, batch.gen_pixels, torch.randn(2, 4, 8, 8), batch.seeds)
    return model, model(batch.rows, batch.labels, *images, None, Aside(progress=progress))["repa"]


def vocabulary():
    return TextTokenizer.from_file(ASSETS / "shapes" / "tokenizer.json")


@pytest.mark.parametrize("form", [{}, {"projector": "conv", "spatial_norm": 0.9}])
def test_every_form_trains_its_projector(form):
    model, loss = losses(RepaConfig(block=1, hidden_size=16, **form), 0.0)
    loss.backward()
    assert -1 <= loss <= 1
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.projector.parameters())
    assert len(list(model.projector.parameters())) == (2 if form else 6)


def test_after_its_share_of_the_stage_the_term_is_off(monkeypatch):
    config = RepaConfig(block=1, hidden_size=16, until=0.4)
    _, before = losses(config, 0.39)
    assert before != 0
    features = VisionEncoder.features
    seen = []
    monkeypatch.setattr(VisionEncoder, "features", lambda self, x: seen.append(len(x)) or features(self, x))
    model, after = losses(config, 0.4)
    after.backward()
    assert seen == [0], "SigLIP is run for what is understood, which is nothing here"
    assert after == 0 and not any(parameter.grad.any() for parameter in model.projector.parameters())
    with pytest.raises(ValueError, match=r"repa\.until"):
        RepaConfig(until=1.5)
