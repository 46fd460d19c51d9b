"""A run's start: what is refused before it leaves anything, what is said, and which run is resumed."""

import re
import shutil
import sys

import pytest

import train
from janusflow.training.module import UnifiedModule
from janusflow.weights import SHIPPED


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
    "data.sources={p: {kind: documents, path: CONFIG, images: nowhere}}": "p.images: there is no folder nowhere",
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
    for checkpoint in ("some/model", str(SHIPPED["shapes-flow"])):
        assert train.main([str(config), f"parts.checkpoint={checkpoint}", data]) == 2
        assert "no file matches nowhere" in capsys.readouterr().err


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


def test_a_disk_without_room_for_a_state_is_said_at_the_start(config, tmp_path, monkeypatch, capsys):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    assert train.main([str(config)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "a training state takes" in line and "0.1 MB free" in line
    assert not (tmp_path / "runs").exists()
