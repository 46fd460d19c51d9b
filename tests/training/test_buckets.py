"""Runs on images of several shapes: what is refused, the plan, a run with its previews."""

import pytest
from PIL import Image

import train
from janusflow.checkpoints.pretrained import load_pretrained
from janusflow.config import load_config
from janusflow.data.config import DataConfig, source_config
from janusflow.training.config import RunConfig
from janusflow.training.forecast import Forecast
from tests.training.conftest import losses, write_config

FREE = "data.sources={world: {kind: world, level: free}}"
SHAPES = "data.buckets=[[48, 48], [32, 64]]"
PLACED = "model.llm.image_positions=grid"
CODEC = "parts.vae=shapes/vae"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (["data.buckets=[[48]]"], "data.buckets lists shapes [height, width]"),
        (["data.buckets=[[48, 0]]"], "of at least 1 pixel, got [48, 0]"),
        (["data.buckets=[[48, 48], [48, 48]]"], "data.buckets has [48, 48] twice"),
        (["data.buckets=[[48, wide]]"], "could not be converted to Integer"),
        ([SHAPES], "pictures that are no squares are of the level 'free'"),
        ([FREE, "data.buckets=[[36, 64]]"], "multiples of 8 pixels, got the size 36x64"),
        ([FREE, "data.buckets=[[48, 960]]"], "draws images, and one takes"),
        ([FREE, "report.size=wide"], "a size is HEIGHTxWIDTH in pixels"),
        ([FREE, "report.size=30x64"], "multiples of 8 pixels, got the size 30x64"),
        (
            ["report.size=32x64"],
            "report.size 32x64: pictures that are no squares are judged in the world shapes (free)",
        ),
        ([FREE, "model.llm.image_positions=spiral"], "spiral"),
    ],
)
def test_shapes_that_cannot_be_are_one_line(config, capsys, changes, fault):
    assert train.main([str(config), *changes]) == 2
    error = capsys.readouterr().err
    assert fault in error and error.count("\n") == 1


def test_pairs_and_rollouts_draw_squares(tmp_path):
    with pytest.raises(ValueError, match="pairs are squares"):
        DataConfig(sources={"p": source_config("pairs", path=str(tmp_path))}, buckets=[[48, 48]])
    rollout = "{rewards: {rules: 1}, prompts_per_round: 2, group: 3}"
    changes = [f"stages.stage1.rollout={rollout}", f"stages.stage2.rollout={rollout}", FREE, SHAPES]
    losses_of = "model.losses={image: {weight: 0}, repa: {weight: 0}, mine: {kind: flow_grpo, kl: 0}}"
    with pytest.raises(ValueError, match="rollout draws squares"):
        load_config(RunConfig, write_config(tmp_path), [*changes, losses_of])


def test_a_plan_counts_the_tokens_of_every_shape(tmp_path, capsys):
    config = write_config(tmp_path)
    forecast = Forecast(lambda changes: load_config(RunConfig, config, [CODEC, FREE, SHAPES, *changes]))
    (batch,) = next(forecast.first_steps(forecast.config, "stage1"))
    assert [slots.shape[1] for slots in batch.rows.drawn] == [37, 33]
    assert train.main([str(config), CODEC, "~stages.stage2", FREE, SHAPES, "--plan"]) == 0
    assert "generated images: 48x48 (36 tokens), 32x64 (32 tokens) pixels" in capsys.readouterr().out


@pytest.mark.parametrize("head", ["flow", "ar"])
def test_a_run_on_two_shapes_previews_both_and_its_model_draws_them(tmp_path, head):
    codec = [] if head == "ar" else [CODEC]
    shapes = SHAPES if head == "flow" else "data.buckets=[[48, 48], [40, 56]]"
    changes = [*codec, FREE, shapes, PLACED, "~stages.stage2", "stages.stage1.steps=2", "preview.examples=1"]
    assert train.main([str(write_config(tmp_path, head)), *changes]) == 0
    run = tmp_path / "runs" / "small"
    name = {"flow": "flow", "ar": "codes"}[head]
    assert float(losses(run)["stage1", 1, f"loss/{name}"]) > 0
    assert any(key[2].startswith("validation/world/") for key in losses(run))
    with Image.open(run / "samples" / "stage1-000002.png") as sheet:
        assert sheet.width > 96 and sheet.height > 2 * 96
    model = load_pretrained(run)
    assert model.model.config.llm.image_positions == "grid"
