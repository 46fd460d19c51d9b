"""``train.py --plan``: activations without values are those with them; what is said, and what is refused."""

import copy
from types import SimpleNamespace

import pytest
import torch

import train
from janusflow.adapters import AdapterConfig, add_adapter
from janusflow.config import load_config
from janusflow.data.config import DataConfig
from janusflow.data.rows import RowBuilder
from janusflow.data.sources import MixedSource
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.models.unified import Aside
from janusflow.training.config import RunConfig
from janusflow.training.forecast import Forecast
from janusflow.training.forecast_report import step_lines
from janusflow.training.prepare import prepare_blocks
from janusflow.training.trace import Allocations, step_peak
from tests.training.conftest import write_config

CODEC = "parts.vae=shapes/vae"


@pytest.fixture
def batch(tokenizer):
    """Two pictures to be drawn and two conversations."""
    template, source = ChatTemplate(tokenizer, ChatConfig(), 16, "first"), MixedSource(DataConfig(image_size=16), 0)
    builder = RowBuilder(template, 16, 128)
    und, gen = [source.understanding(i) for i in range(2)], [source.generation(i, 0.0) for i in range(2)]
    sequences = [*map(builder.understanding, und), *(builder.generation(one, True, False) for one in gen)]
    return builder.collate(sequences, und, gen)


@pytest.mark.parametrize("way", ["plain", "checkpointed", "adapter"])
@pytest.mark.parametrize("fixture", ["tiny_model", "tiny_janus"])
def test_activations_without_values_are_those_with_them(request, batch, fixture, way):
    model = request.getfixturevalue(fixture)
    if way == "adapter":
        model.requires_grad_(False)
        add_adapter(model.llm.causal_lm, AdapterConfig(rank=2))
    elif way == "checkpointed":
        prepare_blocks(model, SimpleNamespace(checkpoint_activations=True, compile=False))
    latents = torch.zeros(2, *model.head.latent_shape, dtype=model.head.latent_dtype)
    batch = batch._replace(gen_latents=latents)
    with Allocations([*model.parameters(), *model.buffers()]) as real:
        images = (batch.und_pixels, batch.gen_pixels, latents, batch.seeds)
        model.total(model(batch.rows, batch.labels, *images, None, Aside(noise=batch.noise))).backward()
    model.zero_grad()
    assert step_peak(copy.deepcopy(model), [batch], None, None, False) == pytest.approx(real.peak, rel=0.02)
    assert real.peak > 100_000


@pytest.mark.slow
def test_the_plan_is_told_without_a_run_and_says_what_would_fit(tmp_path, capsys):
    config = str(write_config(tmp_path))
    assert train.main([config, CODEC, "~stages.stage2", "--plan", "--memory", "24"]) == 0
    text = capsys.readouterr().out
    for words in ("activations", "rows of a micro-batch", "understanding from world", "endless", "fits 24 GB"):
        assert words in text
    peak = next(line for line in text.splitlines() if line.startswith("at the peak")).split()[-1]
    assert train.main([config, CODEC, "~stages.stage2", "--plan", "--memory", str(0.7 + (int(peak) - 1) / 1000)]) == 1
    said = capsys.readouterr().out.partition("does not fit")[2]
    assert "would:" in said and "trainer.accumulate=8" in said
    assert not (tmp_path / "runs").exists()
    assert train.main([config, CODEC, "~stages.stage2", "--plan", "--memory", "0"]) == 2
    assert "--memory must be a number of GB above 0" in capsys.readouterr().err


def test_images_that_the_model_draws_are_counted(tmp_path):
    stage = "{train: [llm, generation], steps: 2, batch_size: 10, ratios: [{understanding: 4, generation: 6}]"
    rollout = "rollout: {rewards: {rules: 1}, prompts_per_round: 2, group: 3, updates: 2, sampling: {guidance: 2}}}"
    losses = "model.losses={image: {weight: 0}, repa: {weight: 0}, mine: {kind: flow_grpo, kl: 0}}"
    overrides = [CODEC, losses, f"stages={{rl: {stage}, {rollout}}}", "trainer.accumulate=2"]
    forecast = Forecast(lambda changes: load_config(RunConfig, write_config(tmp_path), [*overrides, *changes]))
    first = next(forecast.first_steps(forecast.config, "rl"))
    assert [len(batch.und_pixels) for batch in first] == [2, 2, 0, 0]
    assert [len(batch.gen_pixels) for batch in first] == [0, 0, 6, 6], "behind their prompts, and without"
    lines = step_lines(forecast, "rl", SimpleNamespace(tokens=1.0, images=16, seconds=1.0))
    assert "NOT COUNTED: time and memory of drawing 6 images every 2 steps" in lines[1]


@pytest.mark.slow
def test_a_deep_model_is_continued_from_fewer_blocks(tmp_path, monkeypatch):
    overrides = [CODEC, "~stages.stage2", "model.llm.num_layers=12", "stages.stage1.batch_size=4"]
    forecast = Forecast(lambda changes: load_config(RunConfig, write_config(tmp_path), [*overrides, *changes]))
    continued = forecast.at_peak()
    monkeypatch.setattr("janusflow.training.forecast.DEEP", 12)
    assert continued == pytest.approx(forecast.at_peak(), rel=0.01)
    assert len(forecast.found) == 3, "two shallow ones and the whole"
