"""Training states: exact resumption, ends at any moment, with and without an average."""

import csv
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp

import train
from janusflow.training import checkpoints
from janusflow.training.module import UnifiedModule
from tests.training.conftest import equal, losses, weights


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


def test_damaged_state_is_named(finished, capsys):
    folder = finished / "checkpoints" / "stage2-000007"
    for path in folder.glob("*.distcp"):
        path.write_bytes(b"damaged")
    assert train.main(["--resume", str(finished)]) == 2
    assert "stage2-000007" in capsys.readouterr().err.strip().splitlines()[-1]


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
