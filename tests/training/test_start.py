"""A run's start: what is refused before it leaves anything, what is said, and which run is resumed."""

import io
import re
import shutil
import sys

import pytest

import train
from janusflow.weights import SHIPPED
from tests.training.conftest import QUIET, REPORT, Killed, write_config


def test_resume_takes_the_latest_run_that_did_a_step(runs, config, tmp_path, at_step, monkeypatch, capsys):
    copy = runs("flow").copy(tmp_path)

    def break_down():
        raise Killed

    at_step(4, 0, break_down)
    with pytest.raises(Killed):
        train.main([str(config), QUIET])
    monkeypatch.undo()
    assert (tmp_path / "runs" / "small-2" / "config.yaml").exists()
    capsys.readouterr()
    assert train.main([str(config), "--resume", "latest", "data.workers=0"]) == 0  # what it has anyway
    assert f"run folder: {copy}\n" in capsys.readouterr().out
    for change in ("optim.ema_decay=0.5", "~optim.ema_decay"):
        assert train.main([str(config), "--resume", "latest", change]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "free are trainer.devices, " in line
        command = f"python train.py {copy / 'config.yaml'} parts.run={copy} '{change}'"
        assert line.endswith(command), "what to do instead, as it can be run"


SOURCE = "data.sources={{p: {{kind: {}}}}}".format
FAILS = [  # head, what ends a start, and what its line says
    ("flow", "data.sources={p: {kind: folder, path: PHOTOS}}", "captions.jsonl"),
    ("flow", SOURCE("webdataset, path: '{0..3}.tar'"), "data.sources.p.path: no file matches 0.tar"),
    ("flow", SOURCE("documents, path: CONFIG, images: nowhere"), "p.images: there is no folder nowhere"),
    ("flow", SOURCE("text, path: CONFIG"), "wants understanding samples, and no source gives any: add one"),
    ("flow", "data.max_length=40", "stage1 draws images, and one takes 44 tokens, more than the 40 of a row"),
    ("flow", "data.max_length=300", "300 is more than the 256 positions"),
    ("flow", "data.image_size=64", "data.image_size 64"),
    ("flow", "preview.prompts=[LONG]", "and an image take more than 256 positions"),
    ("flow", "preview.prompts=[<｜begin▁of▁sentence｜>]", "reserved token"),
    ("flow", "parts.run=nowhere", "no run to begin from at nowhere"),
    ("flow", "parts.run=OTHER", "set model.head=ar"),
    ("flow", "out=CONFIG/runs", "is not a folder that can be written"),
    ("flow", "stages.stage1.train=[repa]", "stage1 trains repa alone"),
    ("flow", "model.llm.depth=3", "depth"),
    ("flow", "model.llm.max_positions=40", "40"),
    ("flow", "model.llm.vocab_size=100", "100"),
    ("flow", "parts.vae=nowhere", "nowhere"),
    ("flow", "parts.tokenizer=nowhere.json", "nowhere.json"),
    ("flow", "parts.llm=nowhere.safetensors", "nowhere.safetensors"),
    ("flow", "parts.llm=shapes/llm.safetensors", "does not fit"),
    ("flow", "model.head.latent_channels=8", "latents"),
    ("flow", "--resume=nowhere", "nowhere"),
    ("flow", "--resume=latest", "no run"),
    ("ar", "parts.vq=shapes/vae", "48 pixels into 4 x 12 x 12 latents, but model.head expects 36"),
    ("ar", "model.head.codebook_size=512", "2048 codes, the model's head 512"),
    ("ar", "model.head.grid=5", "5 x 5 tokens against 6 x 6"),
    ("ar", f"parts.checkpoint={SHIPPED['shapes-flow']}", "a head of the kind 'flow': set model.head=flow"),
    ("ar", "model.head=diffusion", "diffusion"),
    ("ar", "sampling.top_p=2", "top_p"),
    ("ar", "report.sampling.temperature=-1", "-1"),
    ("ar", "preview.sampling.top_k=5000", "top_k 5000 is more than the codebook's 2048"),
]


@pytest.mark.parametrize(("head", "change", "words"), FAILS)
def test_a_start_that_fails_is_one_line_and_leaves_nothing(runs, tmp_path, capsys, head, change, words):
    (tmp_path / "photos").mkdir()
    config = write_config(tmp_path, head)
    places = {"CONFIG": str(config), "PHOTOS": str(tmp_path / "photos"), "LONG": "very " * 300}
    if "OTHER" in change:
        places["OTHER"] = str(runs("ar").run)
    filled = re.sub("|".join(places), lambda found: places[found[0]], change)
    assert train.main([str(config), "model.losses.repa.weight=0", filled]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and words in line
    assert not (tmp_path / "runs").exists()


def test_what_this_machine_lacks_is_said(config, tmp_path, monkeypatch, capsys):
    """GPUs, a package, room on the disk, a file."""

    def fails(change, words):
        assert train.main([change if change.endswith(".yaml") else str(config), change]) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert words in line
        assert not (tmp_path / "runs").exists()

    fails("nowhere.yaml", "nowhere.yaml")
    with monkeypatch.context() as patch:
        patch.setattr("torch.cuda.is_available", lambda: True)
        patch.setattr("torch.cuda.device_count", lambda: 1)
        fails("trainer.devices=2", "2 processes (trainer.devices) need as many GPUs, got 1")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "wandb", None)
        fails("trainer.wandb=janusflow", "trainer.wandb needs Weights & Biases: pip install wandb")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    fails("seed=1", "0.1 MB free")


def test_data_is_looked_at_before_a_checkpoint_is_loaded(config, monkeypatch, capsys):
    monkeypatch.setattr("janusflow.training.build.load_pretrained", pytest.fail)
    data = "data.sources={p: {kind: text, path: nowhere}}"
    for checkpoint in ("some/model", str(SHIPPED["shapes-flow"])):
        assert train.main([str(config), f"parts.checkpoint={checkpoint}", data]) == 2
        assert "no file matches nowhere" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_moves_on_a_terminal_and_goes_on_where_it_was(runs, config, tmp_path, monkeypatch):
    monkeypatch.setattr("janusflow.training.progress.REFRESH", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    copy = runs("flow").copy(tmp_path / "finished")
    assert train.main([str(config), *REPORT, "report.sampling={steps: 1}"]) == 0
    shown = sys.stderr.getvalue()
    steps = [int(step) for step in re.findall(r"stage1 .*? (\d)/4 ", shown)]
    assert set(steps) == {0, 1, 2, 3, 4} and steps == sorted(steps)
    assert re.search(r"left, of the run \d\d:\d\d", shown) and "Epoch" not in shown
    assert re.search(r"total +[▁▂▃▄▅▆▇█]{4} +\d", shown), "a loss with its curve"
    assert all(f"{what} " in shown.replace(":", " ") for what in ("preview", "drawing", "judging", "answering"))
    shutil.rmtree(copy / "checkpoints" / "stage2-000007")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert train.main(["--resume", str(copy)]) == 0
    assert set(re.findall(r"stage2 .*? (\d)/7 ", sys.stderr.getvalue())) == {"6", "7"}


def test_without_a_terminal_the_plan_is_printed_and_progress_is_a_line_now_and_then(config, monkeypatch, capsys):
    monkeypatch.setattr("janusflow.training.progress.LINE_EVERY", 0.0)
    assert train.main([str(config), QUIET, "trainer.log_every=3", "stages.stage1.warmup_steps=5"]) == 0
    printed, told = capsys.readouterr()
    for words in ("M params", "before activations; disk", "stage1: 4 steps of 8 samples", "stage2: 7 steps"):
        assert words in printed
    assert "5 steps of warm-up (warning: longer than the stage)" in printed and printed.count("(warning") == 1
    lines = [line for line in told.splitlines() if line]
    assert [line.split(" steps")[0] for line in lines] == [
        *(f"stage1: {done} of 4" for done in (1, 4)),
        *(f"stage2: {done} of 7" for done in (1, 4, 7)),
    ]
    assert re.search(r"\d\d:\d\d left, of the run \d\d:\d\d; .*total \d", lines[-1])
