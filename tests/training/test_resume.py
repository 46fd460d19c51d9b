"""Training states: exact resumption, ends at any moment, with and without an average."""

import csv
import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp

import train
from janusflow.config import load_config
from janusflow.training import checkpoints
from janusflow.training.config import RunConfig
from janusflow.training.module import UnifiedModule
from janusflow.training.optim import OptimConfig
from janusflow.training.run import Run
from tests.training.conftest import QUIET, Killed, assert_close, equal, losses, weights, write_config

NAME = "head.encoder.in_conv.weight"
LAST = "checkpoints/stage2-000007"


@pytest.mark.parametrize(
    ("head", "steps", "step", "end"),
    [
        ("flow", 4, 3, "kill"),  # between a stage's two states
        ("ar", 7, 4, "kill"),
        ("flow", 7, 4, signal.SIGTERM),
        ("flow", 7, 0, signal.SIGINT),
    ],
)
def test_an_ended_run_goes_on_as_if_it_had_not(runs, tmp_path, at_step, monkeypatch, capsys, head, steps, step, end):
    """Killed or asked to end, and resumed: every loss, validation and weight is the same, bit for bit."""

    def act():
        if end == "kill":
            raise Killed
        os.kill(os.getpid(), end)

    at_step(steps, step, act)
    config, stopped = write_config(tmp_path, head), tmp_path / "runs" / "small"
    if end == "kill":
        with pytest.raises(Killed):
            train.main([str(config), QUIET])
    else:
        assert train.main([str(config), QUIET]) == 128 + end
        assert f"--resume {stopped}" in capsys.readouterr().err
        assert (stopped / "checkpoints" / f"stage2-{step + 1:06d}" / "state.json").exists()
    monkeypatch.undo()
    assert not (stopped / "model").exists()
    assert train.main(["--resume", str(stopped)]) == 0
    assert losses(stopped) == losses(runs(head).run)
    assert equal(weights(stopped), weights(runs(head).run))


def test_a_state_that_cannot_be_written_ends_the_run_and_leaves_the_last_one(config, tmp_path, monkeypatch, capsys):
    save = checkpoints.dcp.save

    def full_disk(state, checkpoint_id, **kwargs):
        if "stage2-000006" in str(checkpoint_id):
            checkpoint_id.mkdir()
            (checkpoint_id / "half").write_text("half")
            raise OSError(28, "No space left on device")
        return save(state, checkpoint_id=checkpoint_id, **kwargs)

    monkeypatch.setattr(checkpoints.dcp, "save", full_disk)
    assert train.main([str(config), QUIET]) == 2
    assert "No space left" in capsys.readouterr().err
    monkeypatch.undo()
    run = tmp_path / "runs" / "small"
    assert [c.step for c in checkpoints.find(run / "checkpoints", ["stage1", "stage2"])] == [3]
    assert train.main(["--resume", str(run)]) == 0
    assert not list((run / "checkpoints").glob("*.part"))


def test_a_finished_run_is_exported_again_from_any_working_folder(runs, tmp_path, monkeypatch):
    copy = runs("flow").copy(tmp_path)
    before = weights(copy)
    shutil.rmtree(copy / "model")
    half_written = copy / "checkpoints" / "stage2-000099"
    half_written.mkdir()
    (half_written / "__0_0.distcp").write_text("half")
    monkeypatch.chdir(tmp_path)
    assert train.main(["--resume", "runs/small"]) == 0
    assert equal(weights(copy), before)


def test_a_resumed_run_may_be_computed_otherwise(runs, finished, tmp_path):
    copy = runs("flow").copy(tmp_path)
    shutil.rmtree(copy / LAST)
    assert train.main(["--resume", str(copy), "trainer.accumulate=2", "data.workers=1"]) == 0
    assert_close(copy, finished, abs=1e-4)


def test_damaged_state_is_named(runs, tmp_path, capsys):
    copy = runs("flow").copy(tmp_path)
    for path in (copy / LAST).glob("*.distcp"):
        path.write_bytes(b"damaged")
    assert train.main(["--resume", str(copy)]) == 2
    assert "stage2-000007" in capsys.readouterr().err.strip().splitlines()[-1]


def test_without_an_average_the_weights_themselves_are_drawn_exported_and_resumed(finished, config, tmp_path):
    options = ["optim.ema_decay=null", "preview.every=2", "trainer.validate_every=0"]
    assert train.main([str(config), "name=plain", *options]) == 0
    plain = tmp_path / "runs" / "plain"
    assert (plain / "samples" / "stage2-000004.png").exists()
    kept = {key: value for key, value in losses(plain).items() if key[2].startswith("loss/")}
    assert kept == {key: losses(finished)[key] for key in kept}, "nor do the losses know of previews and validation"
    stored = dcp.FileSystemReader(plain / LAST).read_metadata().state_dict_metadata
    assert not any(name.startswith("ema.") for name in stored)
    before = weights(plain)
    assert torch.equal(before[NAME], last_weights(plain))
    shutil.rmtree(plain / LAST)
    assert train.main(["--resume", str(plain)]) == 0
    assert equal(weights(plain), before)


def last_weights(run):
    """A trained weight in the last state of a run."""
    state = {"model": {NAME: torch.empty_like(weights(run)[NAME])}}
    (folder, *_) = sorted((run / "checkpoints").iterdir(), reverse=True)
    dcp.load(state, checkpoint_id=folder, no_dist=True)
    return state["model"][NAME]


def test_a_run_begins_as_another_did_end_with_an_average_or_without(finished, config, tmp_path):
    """At a rate of 0 it stays there, and so do the losses of the held-out samples."""
    still = ["stages.stage1.lr=0", "stages.stage2.lr=0", "stages.stage1.steps=1", "stages.stage2.steps=3", QUIET]
    still.append("trainer.validate_every=1")
    runs = tmp_path / "runs"
    assert train.main([str(config), "name=two", *still, f"parts.run={finished}", "optim.ema_decay=null"]) == 0
    assert train.main([str(config), "name=three", *still, f"parts.run={runs / 'two'}"]) == 0
    for run in ("two", "three"):
        assert torch.equal(weights(runs / run)[NAME], last_weights(finished))
        found = {step: value for (_, step, name), value in losses(runs / run).items() if name == "validation/world/ar"}
        assert set(found) == {0, 1, 2} and len({*found.values()}) == 1


def test_at_every_moment_a_state_is_whole_and_has_its_line_in_the_metrics(config, tmp_path, monkeypatch):
    """Whatever is being written, renamed or removed when a kill comes; old states go behind the new."""
    run = tmp_path / "runs" / "small"
    seen = []

    def look():
        found = [(c.stage, c.step) for c in checkpoints.find(run / "checkpoints", ["stage1", "stage2"])]
        with (run / "metrics.csv").open(newline="") as file:
            lines = {(row["stage"], int(row["step"])) for row in csv.DictReader(file)}
        assert {(stage, done - 1) for stage, done in found} <= lines, "a resumed run does not write that line again"
        seen.append(found)

    def watched(action):
        def call(*args, **kwargs):
            for moment in (lambda: None, lambda: action(*args, **kwargs)):
                moment()
                if (run / "metrics.csv").exists():
                    look()

        return call

    monkeypatch.setattr(shutil, "rmtree", watched(shutil.rmtree))
    monkeypatch.setattr(Path, "rename", watched(Path.rename))
    monkeypatch.setattr(Path, "unlink", watched(Path.unlink))
    assert train.main([str(config), QUIET, "trainer.keep=1"]) == 0
    begun = seen[next(number for number, states in enumerate(seen) if states) :]
    assert [("stage1", 4), ("stage2", 3)] in begun and begun[-1] == [("stage2", 7)]
    assert all(1 <= len(states) <= 2 for states in begun)


def test_a_loss_that_is_no_number_is_never_the_best(flow_bundle, config, tmp_path):
    run = Run(tmp_path, load_config(RunConfig, config, ["trainer.keep_best=[one]"]))
    module = UnifiedModule(flow_bundle.model, flow_bundle.codec, OptimConfig(ema_decay=None))
    for step, value in enumerate((float("nan"), 2.0, float("nan"), 1.0, 3.0)):
        run._keep_best(flow_bundle, "stage1", module, {"one": value}, step)
        assert (tmp_path / "best").exists() == (step > 0)
    assert json.loads((tmp_path / "best" / "best.json").read_text())["value"] == 1.0
