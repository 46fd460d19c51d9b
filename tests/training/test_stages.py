"""Stages: the paper's freeze table and rates, and the mixture over steps."""

import pytest
import torch

from janusflow.config import load_config
from janusflow.models.unified import UnifiedModel
from janusflow.training.config import RunConfig
from janusflow.training.stages import Quota, RatioConfig, StageConfig, freeze, quota, rate_factor
from tests.conftest import ROOT

# Sec. 3.3, by hand: what each stage trains, as prefixes of parameter names.
NEW_PARTS = ("vision.aligner.", "vision.begin_embed", "head.", "projector.")
TRAINED = {
    "stage1": NEW_PARTS,
    "stage2": (*NEW_PARTS, "llm."),
    "stage3": (*NEW_PARTS, "llm.", "vision.tower."),
}
UNUSED = "vision.tower.attn_pool."  # stored in the released checkpoint, used by no stage

# Table 1: rate, warm-up, steps, batch, mixtures (until, und : gen : text).
TABLE_1 = {
    "stage1": (1e-4, 2_000, 10_000, 512, [(None, 50, 50, 0)]),
    "stage2": (1e-4, 2_000, 380_000, 512, [(10_000, 30, 50, 20), (None, 14, 80, 6)]),
    "stage3": (2e-5, 1_000, 26_000, 256, [(None, 21, 70, 9)]),
}


@pytest.mark.parametrize("stage", TRAINED)
@pytest.mark.parametrize("released", [True, False])
def test_freeze_table_parameter_by_parameter(stage, released):
    path = f"configs/janusflow_1b/{stage}.yaml" if released else "configs/shapes.yaml"
    config = load_config(RunConfig, ROOT / path)
    with torch.device("meta"):
        model = UnifiedModel(config.model)
    freeze(model, config.stages[stage])
    for name, parameter in model.named_parameters():
        expected = name.startswith(TRAINED[stage]) and not name.startswith(UNUSED)
        assert parameter.requires_grad == expected, name


@pytest.mark.parametrize("name", TABLE_1)
def test_released_stages_are_table_1(name):
    config = load_config(RunConfig, ROOT / f"configs/janusflow_1b/{name}.yaml")
    stage, optim = config.stages[name], config.optim
    ratios = [(r.until, r.understanding, r.generation, r.text) for r in stage.ratios]
    assert (stage.lr, stage.warmup_steps, stage.steps, stage.batch_size, ratios) == TABLE_1[name]
    assert stage.decay_fraction == 0, "the paper's rate is constant"
    assert (optim.algorithm, optim.beta1, optim.beta2) == ("adamw", 0.9, 0.95)
    assert (optim.weight_decay, optim.gradient_clip) == (0.0, 1.0)
    assert config.model.repa.block == 6
    assert config.data.prompt_drop == 0.1
    assert stage.first_sentence == 0.25


def test_quotas_fill_every_step_and_keep_the_ratio():
    stage = StageConfig(steps=1000, batch_size=13, ratios=[RatioConfig(14, 80, 6)])
    quotas = [quota(stage, step) for step in range(1000)]
    assert all(sum(q) == 13 and min(q) >= 0 for q in quotas)
    totals = [sum(column) / 13_000 for column in zip(*quotas, strict=True)]
    assert totals == pytest.approx([0.14, 0.80, 0.06], abs=1e-3)


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (RatioConfig(1, 0, 0), Quota(8, 0, 0)),
        (RatioConfig(0, 1, 0), Quota(0, 8, 0)),
        (RatioConfig(0, 0, 1), Quota(0, 0, 8)),
        (RatioConfig(50, 0, 50), Quota(4, 0, 4)),
    ],
)
def test_absent_types_get_nothing(ratio, expected):
    assert quota(StageConfig(batch_size=8, ratios=[ratio]), 5) == expected


def test_mixture_changes_at_its_step():
    stage = StageConfig(batch_size=10, ratios=[RatioConfig(1, 0, 0, until=100), RatioConfig(0, 1, 0)])
    assert quota(stage, 99) == (10, 0, 0)
    assert quota(stage, 100) == (0, 10, 0)


def test_rate_warms_up_stays_and_decays():
    stage = StageConfig(steps=100, warmup_steps=10, decay_fraction=0.2)
    assert rate_factor(stage, 0) == pytest.approx(0.1)
    assert rate_factor(stage, 9) == rate_factor(stage, 79) == 1
    assert rate_factor(stage, 90) == pytest.approx(0.5)
    assert rate_factor(StageConfig(steps=100, warmup_steps=10), 99) == 1


@pytest.mark.parametrize(
    ("settings", "value"),
    [({"train": ["vae"]}, "vae"), ({"train": []}, "empty"), ({"steps": 0}, "0"), ({"decay_fraction": 2.0}, "2.0")],
)
def test_impossible_stages_are_named(settings, value):
    with pytest.raises(ValueError, match=value):
        StageConfig(**settings)


@pytest.mark.parametrize("ends", [(100, 50), (50, 50, None), (50, 80)])
def test_mixtures_end_one_after_the_other_and_the_last_with_the_stage(ends):
    with pytest.raises(ValueError, match="mixtures end one after the other"):
        StageConfig(steps=100, ratios=[RatioConfig(1, 1, 0, until=end) for end in ends])
    StageConfig(steps=100, ratios=[RatioConfig(1, 1, 0, until=end) for end in (50, 100)])


def test_cosine_decay_falls_from_the_end_of_the_warm_up_to_zero():
    stage = StageConfig(steps=1100, warmup_steps=100, decay_fraction=1.0, decay="cosine")
    rates = [rate_factor(stage, step) for step in range(1101)]
    assert rates[:100] == pytest.approx([(step + 1) / 100 for step in range(100)])
    assert [rates[100], rates[600], rates[1100]] == pytest.approx([1.0, 0.5, 0.0], abs=1e-9)
    assert rates[350] == pytest.approx((1 + 0.5**0.5) / 2)
    late = StageConfig(steps=1000, decay_fraction=0.2, decay="cosine")
    assert rate_factor(late, 799) == 1 and rate_factor(late, 900) == pytest.approx(0.5)
