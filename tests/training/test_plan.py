"""What a run says before it begins, and which settings it refuses."""

import dataclasses

import pytest
import torch

from janusflow.config import load_config
from janusflow.data.config import TASKS, DataConfig
from janusflow.data.sources import MixedSource
from janusflow.models.unified import ModelConfig
from janusflow.training.config import RunConfig
from janusflow.training.optim import OptimConfig, build_optimizer, parts_of
from janusflow.training.plan import check_stages, describe_model, describe_stage, stage_needs
from janusflow.training.stages import PARTS, RatioConfig, StageConfig, freeze
from tests.conftest import ROOT


def test_a_mixture_without_a_source_is_named_at_the_start():
    stages = {"one": StageConfig(), "two": StageConfig(ratios=[RatioConfig(1, 0, 0, until=3), RatioConfig(1, 1, 1)])}
    check_stages(stages, ModelConfig(), TASKS)
    with pytest.raises(ValueError, match="two's mixture wants text samples, and no source gives any"):
        check_stages(stages, ModelConfig(), ["understanding", "generation"])


def test_siglip_cannot_train_where_nothing_sees_with_it(tiny_config):
    model = dataclasses.replace(tiny_config, und_encoder="shared")
    with pytest.raises(ValueError, match="one trains siglip"):
        check_stages({"one": StageConfig()}, model, TASKS)
    check_stages({"one": StageConfig(train=["llm", "generation"])}, model, TASKS)


def test_table_of_parts_counts_every_parameter_once(tiny_model):
    stages = {"a": StageConfig(train=["llm"]), "b": StageConfig()}
    lines = describe_model(tiny_model, stages, OptimConfig()).splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[1 : 1 + len(PARTS)]}
    assert list(rows) == list(PARTS)
    total = sum(p.numel() for p in tiny_model.parameters())
    assert sum(float(row[0]) for row in rows.values()) == pytest.approx(total / 1e6, abs=0.03)
    assert rows["llm"][1:] == ["trains", "trains"] and rows["siglip"][1:] == ["frozen", "trains"]


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
        "shapes world",
    ):
        assert words in plan
    assert "decay" not in plan


@pytest.mark.parametrize("algorithm", ["adamw", "muon"])
@pytest.mark.parametrize("parts", [["understanding", "generation"], list(PARTS)])
def test_memory_of_a_stage_is_what_a_step_of_it_holds(tiny_model, algorithm, parts):
    stage, config = StageConfig(train=parts), OptimConfig(algorithm)
    with torch.device("meta"):
        needs = stage_needs(type(tiny_model)(tiny_model.config), stage, config)
    freeze(tiny_model, stage)
    optimizer = build_optimizer(tiny_model, 1e-3, config)
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
    assert stage_needs(tiny_model, stage, OptimConfig(ema_decay=None)).average == 0


def test_plan_divides_memory_among_processes_and_sums_the_disk(tiny_model):
    needs = stage_needs(tiny_model, StageConfig(), OptimConfig())
    plan = describe_model(tiny_model, {"a": StageConfig()}, OptimConfig(), shards=4, keep=2)
    assert f"memory: {sum(needs) / 4e6:.1f} MB a process" in plan
    assert f"disk: {(3 * needs.state + needs.weights) / 1e6:.1f} MB (2 + 1 states, model/)" in plan
