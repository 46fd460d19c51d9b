"""``python train.py`` at a size of seconds, with either head: what a run leaves behind, determinism, faults."""

import csv
import json
import os
import signal

import pytest
import torch
import torch.distributed.checkpoint as dcp
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train
from eval.__main__ import main as evaluate
from janusflow.checkpoints.pretrained import load_pretrained
from janusflow.config import load_config
from janusflow.training.build import build_bundle
from janusflow.training.callbacks import Faults
from janusflow.training.config import RunConfig
from janusflow.training.module import UnifiedModule
from janusflow.worlds.source import WorldReader
from tests.training.conftest import QUIET, assert_close, losses, weights, write_config

NAME = "head.encoder.in_conv.weight"
TERMS = {"flow": ("ar", "flow", "repa"), "ar": ("ar", "codes")}
SAMPLING = {
    "flow": {"steps": 2, "guidance": 2.0, "sampler": "euler", "shift": 1.0, "guidance_interval": [0.0, 1.0]},
    "ar": {"guidance": 2.0, "temperature": 1.0, "top_k": None, "top_p": 1.0},
}


def test_run_leaves_everything_behind(either):
    run = either.run
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    expected = {"config.yaml", "metrics.csv", "report.md", "scores.json", "losses.png", "samples.png"}
    expected |= {"checkpoints/stage2-000006/state.json", "checkpoints/stage2-000007/state.json"}
    expected |= {"model/model.safetensors", "model/config.json"}
    expected |= {"samples/stage1-000004.png", "samples/stage2-000007.png"}
    assert expected <= files and not any(name.startswith("checkpoints/stage1") for name in files)
    terms = {f"loss/{name}" for name in (*TERMS[either.head], "total")}
    logged = losses(run)
    assert {name for *_, name in logged if name.startswith("loss/")} == terms
    assert {name for *_, name in logged} >= {"gradient_norm", "learning_rate", "weight/ar"}
    assert {step for stage, step, name in logged if stage == "stage2" and name in terms} == set(range(7))
    with (run / "metrics.csv").open() as file:
        assert {row["metric"] for row in csv.DictReader(file)} >= {"seconds_per_step", "memory_gib"}
    events = EventAccumulator(str(run / "tensorboard" / "stage2"))
    events.Reload()
    assert "samples" in events.Tags()["images"] and "loss/ar" in events.Tags()["scalars"]


def test_report_states_scores_pictures_and_protocol(either):
    page = (either.run / "report.md").read_text()
    scores = json.loads((either.run / "scores.json").read_text())
    for words in ("GenEval rules: mean of the tags", "answers: all", "not FID", "floor", "Protocol: checkpoint"):
        assert words in page
    assert scores["protocol"]["checkpoint"] == load_pretrained(either.run).digest
    assert scores["protocol"]["sampling"] == SAMPLING[either.head]
    assert set(scores["in_distribution"]["generation"]["tags"]) >= {"counting", "position", "color_attr"}
    assert set(scores["held_out"]["generation"]["tags"]) == {"counting", "colors", "color_attr"}
    for name in ("samples.png", "losses.png"):
        assert name in page
        Image.open(either.run / name).verify()


def test_held_out_samples_are_looked_at_every_few_steps_and_at_a_stages_end(either):
    logged = losses(either.run)
    for name in TERMS[either.head]:
        steps = [(stage, step) for stage, step, metric in logged if metric == f"validation/world/{name}"]
        assert steps == [("stage1", 1), ("stage1", 3), ("stage2", 1), ("stage2", 3), ("stage2", 5), ("stage2", 6)]


def test_another_seed_trains_other_numbers(finished, config, tmp_path, monkeypatch):
    looked = []
    real = UnifiedModule.validation_step
    monkeypatch.setattr(UnifiedModule, "validation_step", lambda *given: looked.append(1) or real(*given))
    short = ["stages.stage1.steps=1", "stages.stage2.steps=1", "trainer.validate_every=0"]
    assert train.main([str(config), "seed=1", *short, QUIET]) == 0
    other, key = losses(tmp_path / "runs" / "small"), ("stage1", 0, "loss/flow")
    assert other[key] != losses(finished)[key]
    assert len(looked) == 2, "a stage's end, and no other time"


@pytest.mark.parametrize(
    ("options", "stages"),
    [
        (("trainer.accumulate=3", "trainer.checkpoint_activations=true"), ("stage1", "stage2")),
        (("trainer.compile=true", "stages={stage1: {}}"), ("stage1",)),
    ],
)
def test_memory_and_speed_options_change_no_loss(finished, config, tmp_path, options, stages):
    assert train.main([str(config), *options, QUIET]) == 0
    assert_close(tmp_path / "runs" / "small", finished, stages, abs=1e-4)
    assert weights(finished).keys() == weights(tmp_path / "runs" / "small").keys()


def test_steps_without_a_finite_gradient_are_left_out_and_counted(config, tmp_path, monkeypatch, capsys):
    real = UnifiedModule.losses
    bad = {2, 3}

    def losses_with_accidents(self, batch, counts, model=None, verdicts=None):
        found = real(self, batch, counts, model, verdicts)
        accident = model is None and self.stage.steps == 7 and self.steps_done in bad
        return {name: value * float("nan") for name, value in found.items()} if accident else found

    monkeypatch.setattr(UnifiedModule, "losses", losses_with_accidents)
    assert train.main([str(config), QUIET]) == 0
    run = tmp_path / "runs" / "small"
    assert losses(run)["stage2", 6, "skipped_steps"] == "2"
    assert all(value.isfinite().all() for value in weights(run).values())
    bad |= set(range(7))
    assert train.main([str(config), QUIET, "optim.max_skipped=3"]) == 2
    assert "not finite in 4 steps in a row" in capsys.readouterr().err


def test_a_loss_that_leaves_its_band_is_warned_of_once(config, capsys):
    assert train.main([str(config), QUIET, "stages.stage2.lr=30", "stages.stage2.warmup_steps=0"]) == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert any(line.startswith("warning: stage2, step ") and "the loss ar is" in line for line in warnings)
    told = [line.split("the loss ")[1].split()[0] for line in warnings if "the learning rate, " in line]
    assert "ar" in told and len(told) == len(set(told))


def test_average_is_not_the_last_weights(finished):
    """The exported weights are the average in the last state."""
    empty = torch.empty_like(weights(finished)[NAME])
    state = {"model": {NAME: empty.clone()}, "ema": {f"model.{NAME}": empty.clone()}}
    dcp.load(state, checkpoint_id=finished / "checkpoints" / "stage2-000007", no_dist=True)
    assert not torch.equal(state["model"][NAME], state["ema"][f"model.{NAME}"])
    assert torch.equal(weights(finished)[NAME], state["ema"][f"model.{NAME}"])


@pytest.mark.parametrize("fault", ["error", "death"])
def test_a_data_worker_that_fails_or_dies_ends_the_run_in_one_line(config, monkeypatch, capsys, fault):
    def fail(self, index, rng):
        if index > 20:
            if fault == "death":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError(f"sample {index} is damaged")
        return generation(self, index, rng)

    generation = WorldReader.generation
    monkeypatch.setattr(WorldReader, "generation", fail)
    assert train.main([str(config), "data.workers=1", QUIET]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert ("damaged" if fault == "error" else "has died") in line


def test_weights_and_biases_where_it_is_installed(config, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="Weights & Biases is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert train.main([str(config), "trainer.wandb=janusflow"]) == 0
    assert len(list((tmp_path / "runs" / "small" / "wandb").glob("offline-run-*small-stage*"))) == 2


def test_unreadable_samples_are_listed_and_too_many_end_the_run(config, tmp_path, monkeypatch, capsys):
    generation = WorldReader.generation

    def damaged(self, index, rng):
        if index % 3 == 0:
            raise ValueError(f"picture {index} is damaged")
        return generation(self, index, rng)

    monkeypatch.setattr(WorldReader, "generation", damaged)
    monkeypatch.setattr(Faults, "GRACE", 20)
    assert train.main([str(config), QUIET, "data.max_faults=0.5"]) == 0
    with (tmp_path / "runs" / "small" / "faults.csv").open(newline="") as file:
        listed = list(csv.reader(file))
    assert ["stage1", "0", "picture 0 is damaged"] in listed and len(listed) > 10
    assert train.main([str(config), QUIET, "data.max_faults=0.05"]) == 2
    assert "of 24 samples cannot be used, more than data.max_faults 0.05" in capsys.readouterr().err


def test_runs_are_compared_in_one_table_and_plot(finished, tmp_path, capsys):
    assert evaluate(["compare", str(finished), "--recorded", "--out", str(tmp_path / "out")]) == 0
    answers = json.loads((finished / "scores.json").read_text())["in_distribution"]["answers"]["overall"]
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| small")]
    assert row.split("|")[-2].split("/")[0].strip() == f"{answers:.3f}"
    Image.open(tmp_path / "out" / "losses.png").verify()
    few = ["--tasks", "understanding", "--questions-per-kind", "1", "--bootstrap", "5"]
    assert evaluate(["compare", f"one={finished}", f"two={finished}", "--out", str(tmp_path / "anew"), *few]) == 0
    assert "| answers: all |" in capsys.readouterr().out
    assert "![Training losses, smoothed](losses.png)" in (tmp_path / "anew" / "report.md").read_text()
    Image.open(tmp_path / "anew" / "losses.png").verify()


def test_the_codes_embedding_begins_as_the_codebook(tmp_path):
    config = write_config(tmp_path, "ar")
    bundle = build_bundle(load_config(RunConfig, config))
    torch.testing.assert_close(bundle.model.head.encoder.weight, bundle.codec.codebook)
    rows = bundle.model.head.encoder.weight.norm(dim=-1)
    torch.testing.assert_close(rows, torch.ones_like(rows))
    other = build_bundle(load_config(RunConfig, config, ["model.head.code_channels=4"]))
    assert other.model.head.encoder.weight.shape == (2048, 4)
