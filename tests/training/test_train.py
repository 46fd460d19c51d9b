"""``python train.py`` at a size of seconds: what a run leaves behind, determinism, and exact resumption."""

import csv
import io
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from PIL import Image

import train
from eval.__main__ import main as evaluate
from janusflow.checkpoint import SHIPPED, load_pretrained
from janusflow.data.shapes.source import ShapesSource
from janusflow.training import checkpoints
from janusflow.training.callbacks import Faults
from janusflow.training.module import UnifiedModule
from tests.conftest import ROOT

# Two short stages of a small model on the world's own pictures and parts.
SMALL = """
base: {base}
name: small
out: {out}
model:
  llm: {{hidden_size: 32, intermediate_size: 64, num_layers: 2, num_heads: 2, num_kv_heads: 2}}
  vision: {{width: 24, depth: 1, num_heads: 2}}
  flow_head: {{width: 16, encoder_blocks: 1, decoder_blocks: 1}}
  repa: {{block: 1, hidden_size: 16}}
parts: {{vision: null, llm: null}}
data: {{workers: 0}}
stages:
  stage1: {{steps: 4, batch_size: 8, warmup_steps: 2}}
  stage2: {{steps: 7, batch_size: 8, warmup_steps: 2}}
trainer: {{save_every: 3, log_every: 1, precision: 32-true}}
preview: {{steps: 2, images: 2, prompts: [a red circle, two stars]}}
report: {{prompts_per_tag: 1, images_per_prompt: 2, questions_per_kind: 2, reference_images: 4, steps: 2}}
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL.format(base=ROOT / "configs/shapes.yaml", out=tmp_path / "runs"))
    return path


def losses(run):
    """Everything logged but the speed: {(stage, step, name): value}."""
    with (run / "metrics.csv").open(newline="") as file:
        lines = [row for row in csv.DictReader(file) if row["metric"] not in ("tokens_per_second", "data_wait")]
    return {(row["stage"], int(row["step"]), row["metric"]): row["value"] for row in lines}


def weights(run):
    return load_pretrained(run).model.state_dict()


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def finished(config, tmp_path):
    assert train.main([str(config)]) == 0
    return tmp_path / "runs" / "small"


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


@pytest.mark.parametrize(("stage", "step"), [("stage1", 3), ("stage2", 4), ("stage2", 6)])
def test_resumed_run_equals_the_uninterrupted_one(finished, config, tmp_path, monkeypatch, stage, step):
    """Stop between two training states, as a kill would, and go on: every loss and weight is the same, bit for bit."""

    class Killed(BaseException):
        pass

    training_step = UnifiedModule.training_step

    def stop_in_time(self, data, batch_idx):
        if self.stage.steps == {"stage1": 4, "stage2": 7}[stage] and self.first_step + batch_idx == step:
            raise Killed
        return training_step(self, data, batch_idx)

    monkeypatch.setattr(UnifiedModule, "training_step", stop_in_time)
    with pytest.raises(Killed):
        train.main([str(config)])
    monkeypatch.undo()
    resumed = tmp_path / "runs" / "small-2"
    assert not (resumed / "model").exists()
    assert train.main(["--resume", str(resumed)]) == 0
    assert losses(resumed) == losses(finished)
    assert equal(weights(resumed), weights(finished))


def test_a_finished_run_is_exported_again(finished, config, tmp_path):
    before = weights(finished)
    shutil.rmtree(finished / "model")
    half_written = finished / "checkpoints" / "stage2-000099"
    half_written.mkdir()
    (half_written / "__0_0.distcp").write_text("half")
    assert train.main(["--resume", str(finished)]) == 0
    assert equal(weights(finished), before)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_the_state_and_ends_the_run(finished, config, tmp_path, monkeypatch, capsys, number, code):
    training_step = UnifiedModule.training_step

    def receive_signal(self, data, batch_idx):
        if self.stage.steps == 7 and batch_idx == 4:
            os.kill(os.getpid(), number)
        return training_step(self, data, batch_idx)

    monkeypatch.setattr(UnifiedModule, "training_step", receive_signal)
    assert train.main([str(config)]) == code
    monkeypatch.undo()
    assert "--resume" in capsys.readouterr().err
    stopped = tmp_path / "runs" / "small-2"
    assert (stopped / "checkpoints" / "stage2-000005" / "state.json").exists()
    assert train.main(["--resume", str(stopped)]) == 0
    assert losses(stopped) == losses(finished)


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


def test_a_state_that_cannot_be_written_ends_the_run_and_leaves_the_last_one(config, tmp_path, monkeypatch, capsys):
    save = checkpoints.dcp.save

    def full_disk(state, checkpoint_id, **kwargs):
        if "stage2-000006" in str(checkpoint_id):
            checkpoint_id.mkdir()
            (checkpoint_id / "half").write_text("half")
            raise OSError(28, "No space left on device")
        return save(state, checkpoint_id=checkpoint_id, **kwargs)

    monkeypatch.setattr(checkpoints.dcp, "save", full_disk)
    assert train.main([str(config)]) == 2
    assert "No space left" in capsys.readouterr().err
    monkeypatch.undo()
    run = tmp_path / "runs" / "small"
    assert [c.step for c in checkpoints.find(run / "checkpoints", ["stage1", "stage2"])] == [3]
    assert train.main(["--resume", str(run)]) == 0
    assert not list((run / "checkpoints").glob("*.part"))


def test_a_run_is_resumed_from_any_working_folder(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train.main(["--resume", "runs/small"]) == 0


def test_a_resumed_run_may_be_computed_otherwise(finished, config, tmp_path, monkeypatch):
    whole = losses(finished)
    shutil.rmtree(finished / "checkpoints" / "stage2-000007")
    assert train.main(["--resume", str(finished), "trainer.accumulate=2", "data.workers=1", "report.tasks=[]"]) == 2
    assert train.main(["--resume", str(finished), "trainer.accumulate=2", "data.workers=1"]) == 0
    for key in (key for key in whole if key[2].startswith("loss/")):
        assert float(losses(finished)[key]) == pytest.approx(float(whole[key]), abs=1e-4), key


def test_resume_takes_the_latest_run_that_did_a_step(finished, config, tmp_path, monkeypatch, capsys):
    def break_down(self, *args):
        raise ValueError("no first step")

    monkeypatch.setattr(UnifiedModule, "training_step", break_down)
    assert train.main([str(config)]) == 2
    monkeypatch.undo()
    assert (tmp_path / "runs" / "small-2" / "config.yaml").exists()
    capsys.readouterr()
    assert train.main([str(config), "--resume", "latest", "data.workers=0"]) == 0  # what it has anyway
    assert f"run folder: {finished}\n" in capsys.readouterr().out
    for change in ("optim.ema_decay=0.5", "~optim.ema_decay"):
        assert train.main([str(config), "--resume", "latest", change]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "free are trainer.devices, " in line
        command = f"python train.py {finished / 'config.yaml'} parts.run={finished} '{change}'"
        assert line.endswith(command), "what to do instead, as it can be run"


FAILS = {  # what ends a start, and what its line says
    "data.sources={p: {kind: folder, path: PHOTOS}}": "captions.jsonl",
    "data.sources={p: {kind: webdataset, path: '{0..3}.tar'}}": "data.sources.p.path: no file matches 0.tar",
    "data.sources={p: {kind: text, path: CONFIG, images: nowhere}}": "p.images: there is no folder nowhere",
    "data.sources={p: {kind: text, path: CONFIG}}": "wants understanding samples, and no source gives any: add one",
    "data.max_length=40": "stage1 draws images, and one takes 44 tokens, more than the 40 of a row",
    "data.max_length=300": "300 is more than the 256 positions",
    "data.image_size=64": "data.image_size 64",
    "preview.prompts=[LONG]": "and an image take more than 256 positions",
    "preview.prompts=[<｜begin▁of▁sentence｜>]": "reserved token",
    "preview.examples=1": "set preview.examples=0",
    "parts.run=nowhere": "no run to begin from at nowhere",
    "parts.run=CONFIG": "no run to begin from",
    "out=CONFIG/runs": "is not a folder that can be written",
    "stages.stage1.train=[repa]": "stage1 trains repa alone",
}


@pytest.mark.parametrize("change", FAILS)
def test_a_start_that_fails_leaves_nothing(config, tmp_path, capsys, change):
    (tmp_path / "photos").mkdir()
    places = {"CONFIG": str(config), "PHOTOS": str(tmp_path / "photos"), "LONG": "very " * 300}
    filled = re.sub("|".join(places), lambda found: places[found[0]], change)
    assert train.main([str(config), "model.repa.enabled=false", filled]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert FAILS[change] in line
    assert not (tmp_path / "runs").exists()


def test_more_processes_than_gpus_are_refused(config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert train.main([str(config), "trainer.devices=2"]) == 2
    assert "2 processes (trainer.devices) need as many GPUs, got 1" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_data_is_looked_at_before_a_checkpoint_is_loaded(config, monkeypatch, capsys):
    monkeypatch.setattr("janusflow.training.build.load_pretrained", pytest.fail)
    data = "data.sources={p: {kind: text, path: nowhere}}"
    for checkpoint in ("some/model", str(SHIPPED)):
        assert train.main([str(config), f"parts.checkpoint={checkpoint}", data]) == 2
        assert "no file matches nowhere" in capsys.readouterr().err


def test_average_is_not_the_last_weights(finished):
    """The exported weights are the average in the last state."""
    name = "head.encoder.in_conv.weight"
    state = {"model": {name: torch.empty_like(weights(finished)[name])}, "ema": {}}
    state["ema"][f"model.{name}"] = torch.empty_like(weights(finished)[name])
    dcp.load(state, checkpoint_id=finished / "checkpoints" / "stage2-000007", no_dist=True)
    assert not torch.equal(state["model"][name], state["ema"][f"model.{name}"])
    assert torch.equal(weights(finished)[name], state["ema"][f"model.{name}"])


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["nowhere.yaml"], "nowhere.yaml"),
        (["CONFIG", "model.llm.depth=3"], "depth"),
        (["CONFIG", "model.llm.num_heads=5"], "5"),
        (["CONFIG", "model.llm.max_positions=40"], "40"),
        (["CONFIG", "parts.vae=nowhere"], "nowhere"),
        (["CONFIG", "parts.tokenizer=nowhere.json"], "nowhere.json"),
        (["CONFIG", "parts.llm=nowhere.safetensors"], "nowhere.safetensors"),
        (["CONFIG", "parts.llm=shapes/llm.safetensors"], "does not fit"),
        (["CONFIG", "model.flow_head.latent_channels=8"], "latents"),
        (["CONFIG", "model.llm.vocab_size=100"], "100"),
        (["--resume", "nowhere"], "nowhere"),
        (["CONFIG", "--resume"], "no run"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(config, capsys, arguments, value):
    assert train.main([str(config) if argument == "CONFIG" else argument for argument in arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: ") and value in lines[-1]
    assert not any("Traceback" in line for line in lines)


def test_damaged_state_is_named(finished, capsys):
    folder = finished / "checkpoints" / "stage2-000007"
    for path in folder.glob("*.distcp"):
        path.write_bytes(b"damaged")
    assert train.main(["--resume", str(finished)]) == 2
    assert "stage2-000007" in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("fault", ["error", "death"])
def test_a_data_worker_that_fails_or_dies_ends_the_run_in_one_line(config, monkeypatch, capsys, fault):
    def fail(self, index):
        if index > 20:
            if fault == "death":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError(f"sample {index} is damaged")
        return generation(self, index, 0.0)

    generation = ShapesSource.generation
    monkeypatch.setattr(ShapesSource, "generation", lambda self, index, first_sentence: fail(self, index))
    assert train.main([str(config), "data.workers=1", "report.tasks=[]"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert ("damaged" if fault == "error" else "has died") in line


def test_weights_and_biases_where_it_is_installed(config, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="Weights & Biases is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert train.main([str(config), "trainer.wandb=janusflow", "report.tasks=[]"]) == 0
    assert len(list((tmp_path / "runs" / "small" / "wandb").glob("offline-run-*small-stage*"))) == 2


def test_missing_weights_and_biases_is_said(config, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert train.main([str(config), "trainer.wandb=janusflow"]) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1] == (
        "error: trainer.wandb needs Weights & Biases: pip install wandb"
    )


def test_plan_is_printed_and_pictures_reach_tensorboard(config, tmp_path, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train.main([str(config), "report.tasks=[]"]) == 0
    printed, quiet = capsys.readouterr()
    assert "left" not in quiet
    assert (
        "M params" in printed
        and "before activations; disk" in printed
        and "stage1: 4 steps of 8 samples" in printed
        and "stage2: 7 steps" in printed
    )
    events = EventAccumulator(str(tmp_path / "runs" / "small" / "tensorboard" / "stage2"))
    events.Reload()
    assert "samples" in events.Tags()["images"] and "loss/flow" in events.Tags()["scalars"]


def test_unreadable_samples_are_listed_and_too_many_end_the_run(config, tmp_path, monkeypatch, capsys):
    generation = ShapesSource.generation

    def damaged(self, index, first_sentence):
        if index % 3 == 0:
            raise ValueError(f"picture {index} is damaged")
        return generation(self, index, first_sentence)

    monkeypatch.setattr(ShapesSource, "generation", damaged)
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


def test_a_saved_step_has_its_line_in_the_metrics(config, tmp_path, monkeypatch):
    """A kill right behind the saving of a state loses nothing: the resumed run would not write that line again."""
    lines = {}

    def look(folder, stages, done, *rest):
        stage = stages[-1]
        with (tmp_path / "runs" / "small" / "metrics.csv").open(newline="") as file:
            lines[stage, done] = max(int(row["step"]) for row in csv.DictReader(file) if row["stage"] == stage)

    monkeypatch.setattr(checkpoints, "save", look)
    assert train.main([str(config), "report.tasks=[]"]) == 0
    saved = [("stage1", 3), ("stage1", 4), ("stage2", 3), ("stage2", 6), ("stage2", 7)]
    assert lines == {(stage, done): done - 1 for stage, done in saved}


def test_without_an_average_the_weights_themselves_are_drawn_exported_and_resumed(finished, config, tmp_path, capsys):
    options = ["optim.ema_decay=null", "report.tasks=[]", "preview.every=2", "trainer.checkpoint_activations=true"]
    assert train.main([str(config), "name=plain", *options]) == 0
    plain = tmp_path / "runs" / "plain"
    assert (plain / "samples" / "stage2-000004.png").exists()
    kept = {key: value for key, value in losses(plain).items() if key[2].startswith("loss/")}
    assert kept == {key: losses(finished)[key] for key in kept}, "nor do the losses know of previews"
    last = plain / "checkpoints" / "stage2-000007"
    stored = dcp.FileSystemReader(last).read_metadata().state_dict_metadata
    assert not any(name.startswith("ema.") for name in stored)
    name = "head.encoder.in_conv.weight"
    state = {"model": {name: torch.empty_like(weights(plain)[name])}}
    dcp.load(state, checkpoint_id=last, no_dist=True)
    assert torch.equal(weights(plain)[name], state["model"][name])
    before = weights(plain)
    shutil.rmtree(last)
    assert train.main(["--resume", str(plain)]) == 0
    assert equal(weights(plain), before)


def test_a_run_begins_as_another_did_end_with_an_average_or_without(config, tmp_path):
    short = ["stages.stage1.steps=1", "stages.stage2.steps=1", "report.tasks=[]", "preview.prompts=[]"]
    still = ["stages.stage1.lr=0", "stages.stage2.lr=0"]
    runs = tmp_path / "runs"
    assert train.main([str(config), "name=one", *short]) == 0
    assert (
        train.main([str(config), "name=two", *short, *still, f"parts.run={runs / 'one'}", "optim.ema_decay=null"]) == 0
    )
    assert train.main([str(config), "name=three", *short, *still, f"parts.run={runs / 'two'}"]) == 0
    name = "head.encoder.in_conv.weight"
    state = {"model": {name: torch.empty_like(weights(runs / "one")[name])}}
    dcp.load(state, checkpoint_id=runs / "one" / "checkpoints" / "stage2-000001", no_dist=True)
    for run in ("two", "three"):
        assert torch.equal(weights(runs / run)[name], state["model"][name])


def test_at_every_moment_a_state_is_whole_and_old_ones_go_behind_the_new(config, tmp_path, monkeypatch):
    """Whatever is being written, renamed or removed when a kill comes."""
    folder = tmp_path / "runs" / "small" / "checkpoints"
    seen = []

    def watched(action):
        def call(*args, **kwargs):
            for moment in (lambda: None, lambda: action(*args, **kwargs)):
                moment()
                seen.append([(c.stage, c.step) for c in checkpoints.find(folder, ["stage1", "stage2"])])

        return call

    monkeypatch.setattr(shutil, "rmtree", watched(shutil.rmtree))
    monkeypatch.setattr(Path, "rename", watched(Path.rename))
    monkeypatch.setattr(Path, "unlink", watched(Path.unlink))
    assert train.main([str(config), "report.tasks=[]", "trainer.keep=1"]) == 0
    begun = seen[next(number for number, states in enumerate(seen) if states) :]
    assert [("stage1", 4), ("stage2", 3)] in begun and begun[-1] == [("stage2", 7)]
    assert all(1 <= len(states) <= 2 for states in begun)


def test_a_disk_without_room_for_a_state_is_said_at_the_start(config, tmp_path, monkeypatch, capsys):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    assert train.main([str(config)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "a training state takes" in line and "0.1 MB free" in line
    assert not (tmp_path / "runs").exists()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_moves_on_a_terminal_and_goes_on_where_it_was(config, tmp_path, monkeypatch):
    monkeypatch.setenv("TQDM_MININTERVAL", "0")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert train.main([str(config)]) == 0
    shown = sys.stderr.getvalue()
    steps = [int(step) for step in re.findall(r"stage1: .*? (\d)/4 ", shown)]
    assert set(steps) == {0, 1, 2, 3, 4} and steps == sorted(steps)
    assert re.search(r"run \d\d:\d\d left, .*total", shown) and "Epoch" not in shown
    assert all(f"{what}: " in shown for what in ("preview", "drawing", "judging", "answering"))
    run = tmp_path / "runs" / "small"
    shutil.rmtree(run / "checkpoints" / "stage2-000007")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert train.main(["--resume", str(run)]) == 0
    assert set(re.findall(r"stage2: .*? (\d)/7 ", sys.stderr.getvalue())) == {"6", "7"}


def test_without_a_terminal_progress_is_a_line_now_and_then(config, monkeypatch, capsys):
    monkeypatch.setattr("janusflow.training.progress.LINE_EVERY", 0.0)
    assert train.main([str(config), "report.tasks=[]", "preview.prompts=[]", "trainer.log_every=3"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert [line.split(" steps")[0] for line in lines] == [
        *(f"stage1: {done} of 4" for done in (1, 4)),
        *(f"stage2: {done} of 7" for done in (1, 4, 7)),
    ]
    assert re.search(r"\d\d:\d\d left, of the run \d\d:\d\d; .*total \d", lines[-1])
