"""Stages: the paper's freeze table, rates and mixtures over steps; what a run says of them, and refuses."""

import dataclasses

import pytest
import torch

from janusflow.config import load_config
from janusflow.data.config import TASKS, DataConfig
from janusflow.data.sources import MixedSource
from janusflow.models.unified import ModelConfig, UnifiedModel
from janusflow.training.config import RunConfig
from janusflow.training.memory import stage_needs
from janusflow.training.optim import OptimConfig, build_optimizer, parts_of
from janusflow.training.plan import check_stages, describe_model, describe_stage
from janusflow.training.stages import PARTS, Quota, RatioConfig, StageConfig, freeze, quota, rate_factor
from tests.conftest import ROOT

# Sec. 3.3, by hand: what each stage trains, as prefixes of parameter names.
NEW_PARTS = ("vision.aligner.", "vision.begin_embed", "head.", "projector.")
TRAINED = {
    "stage1": NEW_PARTS,
    "stage2": (*NEW_PARTS, "llm."),
    "stage3": (*NEW_PARTS, "llm.", "vision.tower."),
}
UNUSED = "vision.tower.attn_pool."  # stored in the released checkpoint, used by no stage


@pytest.mark.parametrize("paths", ["configs/janusflow_1b/{}.yaml", "configs/shapes.yaml"])
def test_freeze_table_parameter_by_parameter(paths):
    configs = {stage: load_config(RunConfig, ROOT / paths.format(stage)) for stage in TRAINED}
    sizes = configs["stage1"].model
    with torch.device("meta"):
        model = UnifiedModel(sizes)
    for stage, config in configs.items():
        assert config.model == sizes
        freeze(model, config.stages[stage])
        for name, parameter in model.named_parameters():
            expected = name.startswith(TRAINED[stage]) and not name.startswith(UNUSED)
            assert parameter.requires_grad == expected, (stage, name)


def test_quotas_fill_every_step_and_keep_the_ratio():
    stage = StageConfig(steps=1000, batch_size=13, ratios=[RatioConfig(14, 80, 6)])
    quotas = [quota(stage, step) for step in range(1000)]
    assert all(sum(q) == 13 and min(q) >= 0 for q in quotas)
    totals = [sum(column) / 13_000 for column in zip(*quotas, strict=True)]
    assert totals == pytest.approx([0.14, 0.80, 0.06, 0, 0], abs=1e-3)
    for ratio, expected in (
        (RatioConfig(1, 0, 0), Quota(8, 0, 0)),
        (RatioConfig(0, 1, 0), Quota(0, 8, 0)),
        (RatioConfig(0, 0, 1), Quota(0, 0, 8)),
        (RatioConfig(50, 0, 50), Quota(4, 0, 4)),
    ):
        assert quota(StageConfig(batch_size=8, ratios=[ratio]), 5) == expected, "absent types get nothing"
    stage = StageConfig(batch_size=10, ratios=[RatioConfig(1, 0, 0, until=100), RatioConfig(0, 1, 0)])
    assert (quota(stage, 99), quota(stage, 100)) == (Quota(10, 0, 0), Quota(0, 10, 0)), (
        "the mixture changes at its step"
    )


def test_rate_warms_up_stays_and_decays():
    stage = StageConfig(steps=100, warmup_steps=10, decay_fraction=0.2)
    assert rate_factor(stage, 0) == pytest.approx(0.1)
    assert rate_factor(stage, 9) == rate_factor(stage, 79) == 1
    assert rate_factor(stage, 90) == pytest.approx(0.5)
    assert rate_factor(StageConfig(steps=100, warmup_steps=10), 99) == 1


def test_cosine_decay_falls_from_the_end_of_the_warm_up_to_zero():
    stage = StageConfig(steps=1100, warmup_steps=100, decay_fraction=1.0, decay="cosine")
    rates = [rate_factor(stage, step) for step in range(1101)]
    assert rates[:100] == pytest.approx([(step + 1) / 100 for step in range(100)])
    assert [rates[100], rates[600], rates[1100]] == pytest.approx([1.0, 0.5, 0.0], abs=1e-9)
    assert rates[350] == pytest.approx((1 + 0.5**0.5) / 2)
    late = StageConfig(steps=1000, decay_fraction=0.2, decay="cosine")
    assert rate_factor(late, 799) == 1 and rate_factor(late, 900) == pytest.approx(0.5)


def mixtures(*ends):
    return {"steps": 100, "ratios": [RatioConfig(1, 1, 0, until=end) for end in ends]}


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"train": []}, "empty"),
        ({"steps": 0}, "0"),
        ({"decay_fraction": 2.0}, "2.0"),
        *((mixtures(*ends), "mixtures end one after the other") for ends in ((100, 50), (50, 50, None), (50, 80))),
    ],
)
def test_impossible_stages_are_named(settings, value):
    with pytest.raises(ValueError, match=value):
        StageConfig(**settings)
    StageConfig(**mixtures(50, 100))


def test_stages_that_do_not_fit_the_model_or_the_data_are_named(tiny_config):
    stages = {"one": StageConfig(), "two": StageConfig(ratios=[RatioConfig(1, 0, 0, until=3), RatioConfig(1, 1, 1)])}
    check_stages(stages, ModelConfig(), TASKS)
    with pytest.raises(ValueError, match="two's mixture wants text samples, and no source gives any"):
        check_stages(stages, ModelConfig(), ["understanding", "generation"])
    model = dataclasses.replace(tiny_config, und_encoder="shared")
    with pytest.raises(ValueError, match="one trains siglip"):
        check_stages({"one": StageConfig()}, model, TASKS)
    check_stages({"one": StageConfig(train=["llm", "generation"])}, model, TASKS)


def test_table_of_parts_counts_every_parameter_once_divides_memory_and_sums_the_disk(tiny_model):
    stages = {"a": StageConfig(train=["llm"]), "b": StageConfig()}
    run = RunConfig(stages=stages)
    plan = describe_model(tiny_model, run, shards=4)
    names = [*PARTS, "repa"]
    rows = {line.split()[0]: line.split()[1:] for line in plan.splitlines()[1:]}
    assert set(names) <= set(rows)
    total = sum(p.numel() for p in tiny_model.parameters())
    assert sum(float(rows[name][0]) for name in names) == pytest.approx(total / 1e6, abs=0.03)
    assert rows["llm"][1:] == ["trains", "trains"] and rows["siglip"][1:] == ["frozen", "trains"]
    needs = stage_needs(tiny_model, stages["b"], run)
    assert f"memory: {needs.memory / 4e6:.1f} MB a process" in plan
    assert f"disk: {(3 * needs.state + needs.weights) / 1e6:.1f} MB (2 + 1 states, model/)" in plan


def test_plan_of_a_stage_states_rate_mixture_and_samples():
    config = load_config(RunConfig, ROOT / "configs/janusflow_1b/stage2.yaml")
    (stage,) = config.stages.values()
    plan = describe_stage("stage2", stage, config.optim, MixedSource(DataConfig(), 0), 8, 2)
    for words in (
        "stage2: 380,000 steps of 512 samples on 8 processes, in 2 micro-batches",
        "0.0001 (adamw), 2,000 steps of warm-up",
        "30 : 50 : 20 until step 10,000, then 14 : 80 : 6",
        "28,057,600 understanding, 154,112,000 generation, 12,390,400 text",
        "plain prompts",
        "the world shapes (free)",
    ):
        assert words in plan
    assert "decay" not in plan


@pytest.mark.parametrize("algorithm", ["adamw", "muon"])
@pytest.mark.parametrize("parts", [["understanding", "generation"], [*PARTS, "repa"]])
def test_memory_of_a_stage_is_what_a_step_of_it_holds(tiny_model, algorithm, parts):
    stage, config = StageConfig(train=parts), OptimConfig(algorithm)
    run = RunConfig(optim=config, stages={"a": stage})
    with torch.device("meta"):
        needs = stage_needs(type(tiny_model)(tiny_model.config), stage, run)
    freeze(tiny_model, stage)
    optimizer = build_optimizer(tiny_model, 1e-3, config)
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert len(held) == len(set(held)) > 0
    assert set(held) == {id(p) for p in tiny_model.parameters() if p.requires_grad}, "what trains, once"
    for parameter in tiny_model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.ones_like(parameter)
    optimizer.step()

    def size(tensors):
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    states = [values for part in parts_of(optimizer) for values in part.state.values()]
    assert needs.weights == needs.average == size(tiny_model.parameters())
    assert needs.gradients == size(p.grad for p in tiny_model.parameters() if p.grad is not None)
    assert needs.optimizer == size(v for state in states for name, v in state.items() if name != "step")
    run.optim = OptimConfig(ema_decay=None)
    assert stage_needs(tiny_model, stage, run).average == 0
