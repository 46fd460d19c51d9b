"""``python train.py`` at a size of seconds: what a run leaves behind, determinism, faults."""

import csv
import json
import os
import shutil
import signal

import pytest
import torch
import torch.distributed.checkpoint as dcp
from PIL import Image

import train
from eval.__main__ import main as evaluate
from janusflow.checkpoints.pretrained import load_pretrained
from janusflow.training.callbacks import Faults
from janusflow.training.module import UnifiedModule
from janusflow.worlds.shapes.source import ShapesReader
from tests.training.conftest import equal, losses, weights


def test_run_leaves_everything_behind(finished):
    files = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    expected = {"config.yaml", "metrics.csv", "report.md", "scores.json", "losses.png", "samples.png"}
    expected |= {"checkpoints/stage2-000006/state.json", "checkpoints/stage2-000007/state.json"}
    expected |= {"model/model.safetensors", "model/config.json"}
    expected |= {"samples/stage1-000004.png", "samples/stage2-000007.png"}
    assert expected <= files and not any(name.startswith("checkpoints/stage1") for name in files)
    assert any(name.startswith("tensorboard/stage2/events") for name in files)
    logged = losses(finished)
    assert {step for stage, step, _ in logged if stage == "stage2"} == set(range(7))
    assert {name for *_, name in logged} >= {"loss/ar", "loss/flow", "loss/repa", "loss/total", "gradient_norm"}


def test_report_states_scores_pictures_and_protocol(finished):
    page = (finished / "report.md").read_text()
    scores = json.loads((finished / "scores.json").read_text())
    for words in ("GenEval rules: mean of the tags", "answers: all", "not FID", "floor", "Protocol: checkpoint"):
        assert words in page
    assert scores["protocol"]["checkpoint"] == load_pretrained(finished).digest
    assert set(scores["in_distribution"]["generation"]["tags"]) >= {"counting", "position", "color_attr"}
    assert set(scores["held_out"]["generation"]["tags"]) == {"counting", "colors", "color_attr"}
    for name in ("samples.png", "losses.png"):
        assert name in page
        Image.open(finished / name).verify()


def test_same_seed_trains_the_same_numbers(finished, config, tmp_path):
    assert train.main([str(config)]) == 0
    again = tmp_path / "runs" / "small-2"
    assert losses(again) == losses(finished)
    assert equal(weights(again), weights(finished))
    assert train.main([str(config), "seed=1", "report.tasks=[]"]) == 0
    assert losses(tmp_path / "runs" / "small-3") != losses(finished)


def test_a_finished_run_is_exported_again(finished, config, tmp_path):
    before = weights(finished)
    shutil.rmtree(finished / "model")
    half_written = finished / "checkpoints" / "stage2-000099"
    half_written.mkdir()
    (half_written / "__0_0.distcp").write_text("half")
    assert train.main(["--resume", str(finished)]) == 0
    assert equal(weights(finished), before)


def test_accumulated_steps_equal_whole_ones(finished, config, tmp_path):
    assert train.main([str(config), "trainer.accumulate=3", "report.tasks=[]"]) == 0
    whole, parts = losses(finished), losses(tmp_path / "runs" / "small-2")
    for key in (key for key in whole if key[2].startswith("loss/")):
        assert float(parts[key]) == pytest.approx(float(whole[key]), abs=1e-4), key


@pytest.mark.parametrize("option", ["checkpoint_activations", "compile"])
def test_memory_and_speed_options_change_no_loss(finished, config, tmp_path, option):
    assert train.main([str(config), f"trainer.{option}=true", "report.tasks=[]"]) == 0
    plain, other = losses(finished), losses(tmp_path / "runs" / "small-2")
    for key in (key for key in plain if key[2].startswith("loss/")):
        assert float(other[key]) == pytest.approx(float(plain[key]), abs=1e-4), key
    assert weights(finished).keys() == weights(tmp_path / "runs" / "small-2").keys()


def test_steps_without_a_finite_gradient_are_left_out_and_counted(config, tmp_path, monkeypatch, capsys):
    real = UnifiedModule.losses
    bad = {2, 3}

    def losses_with_accidents(self, batch, counts):
        found = real(self, batch, counts)
        step = 0 if self.result is None else self.result.step + 1
        return found._replace(image=found.image * float("nan")) if self.stage.steps == 7 and step in bad else found

    monkeypatch.setattr(UnifiedModule, "losses", losses_with_accidents)
    assert train.main([str(config), "report.tasks=[]"]) == 0
    run = tmp_path / "runs" / "small"
    assert losses(run)["stage2", 6, "skipped_steps"] == "2"
    assert all(value.isfinite().all() for value in weights(run).values())
    bad |= set(range(7))
    assert train.main([str(config), "report.tasks=[]", "optim.max_skipped=3"]) == 2
    assert "not finite in 4 steps in a row" in capsys.readouterr().err


def test_average_is_not_the_last_weights(finished):
    """The exported weights are the average in the last state."""
    name = "head.encoder.in_conv.weight"
    state = {"model": {name: torch.empty_like(weights(finished)[name])}, "ema": {}}
    state["ema"][f"model.{name}"] = torch.empty_like(weights(finished)[name])
    dcp.load(state, checkpoint_id=finished / "checkpoints" / "stage2-000007", no_dist=True)
    assert not torch.equal(state["model"][name], state["ema"][f"model.{name}"])
    assert torch.equal(weights(finished)[name], state["ema"][f"model.{name}"])


@pytest.mark.parametrize("fault", ["error", "death"])
def test_a_data_worker_that_fails_or_dies_ends_the_run_in_one_line(config, monkeypatch, capsys, fault):
    def fail(self, index, rng):
        if index > 20:
            if fault == "death":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError(f"sample {index} is damaged")
        return generation(self, index, rng)

    generation = ShapesReader.generation
    monkeypatch.setattr(ShapesReader, "generation", fail)
    assert train.main([str(config), "data.workers=1", "report.tasks=[]"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert ("damaged" if fault == "error" else "has died") in line


def test_weights_and_biases_where_it_is_installed(config, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="Weights & Biases is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert train.main([str(config), "trainer.wandb=janusflow", "report.tasks=[]"]) == 0
    assert len(list((tmp_path / "runs" / "small" / "wandb").glob("offline-run-*small-stage*"))) == 2


def test_unreadable_samples_are_listed_and_too_many_end_the_run(config, tmp_path, monkeypatch, capsys):
    generation = ShapesReader.generation

    def damaged(self, index, rng):
        if index % 3 == 0:
            raise ValueError(f"picture {index} is damaged")
        return generation(self, index, rng)

    monkeypatch.setattr(ShapesReader, "generation", damaged)
    monkeypatch.setattr(Faults, "GRACE", 20)
    assert train.main([str(config), "report.tasks=[]", "data.max_faults=0.5"]) == 0
    with (tmp_path / "runs" / "small" / "faults.csv").open(newline="") as file:
        listed = list(csv.reader(file))
    assert ["stage1", "0", "picture 0 is damaged"] in listed and len(listed) > 10
    assert train.main([str(config), "report.tasks=[]", "data.max_faults=0.05"]) == 2
    assert "of 24 samples cannot be used, more than data.max_faults 0.05" in capsys.readouterr().err


def test_runs_are_compared_in_one_table_and_plot(finished, tmp_path, capsys):
    assert evaluate(["compare", str(finished), "--recorded", "--out", str(tmp_path / "out")]) == 0
    answers = json.loads((finished / "scores.json").read_text())["in_distribution"]["answers"]["overall"]
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| small")]
    assert row.split("|")[-2].split("/")[0].strip() == f"{answers:.3f}"
    Image.open(tmp_path / "out" / "losses.png").verify()


def test_runs_are_compared_anew_with_their_losses(finished, tmp_path, capsys):
    out = tmp_path / "out"
    few = ["--tasks", "understanding", "--questions-per-kind", "1", "--bootstrap", "5"]
    assert evaluate(["compare", f"one={finished}", f"two={finished}", "--out", str(out), *few]) == 0
    assert "| answers: all |" in capsys.readouterr().out
    assert "![Training losses, smoothed](losses.png)" in (out / "report.md").read_text()
    Image.open(out / "losses.png").verify()
