"""``python train.py`` at a size of seconds: what a run leaves behind, determinism, and exact resumption."""

import csv
import json
import shutil

import pytest
import torch
from PIL import Image

import train
from janusflow.checkpoint import load_pretrained
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
    """Every logged loss: {(stage, step, name): value}."""
    with (run / "metrics.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
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
    expected |= {"checkpoints/stage1.ckpt", "checkpoints/stage2.ckpt", "model/model.safetensors", "model/config.json"}
    expected |= {"samples/stage1-000004.png", "samples/stage2-000007.png"}
    assert expected <= files
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
    assert train.main([str(config), "seed=1", "report.prompts_per_tag=0"]) == 0
    assert losses(tmp_path / "runs" / "small-3") != losses(finished)


@pytest.mark.parametrize(("stage", "step"), [("stage1", 3), ("stage2", 3), ("stage2", 6)])
def test_resumed_run_equals_the_uninterrupted_one(finished, config, tmp_path, monkeypatch, stage, step):
    """Stop between two checkpoints, as a kill would, and go on: every loss and weight is the same, bit for bit."""
    from janusflow.training.module import JanusFlowModule

    class Killed(BaseException):
        pass

    training_step = JanusFlowModule.training_step

    def stop_in_time(self, batch, batch_idx):
        if f"stage{self.stage_number + 1}" == stage and batch.step > step:
            raise Killed
        return training_step(self, batch, batch_idx)

    monkeypatch.setattr(JanusFlowModule, "training_step", stop_in_time)
    if step + 1 < {"stage1": 4, "stage2": 7}[stage]:
        with pytest.raises(Killed):
            train.main([str(config)])
    else:
        assert train.main([str(config)]) == 0
        shutil.rmtree(tmp_path / "runs" / "small-2" / "model")
    monkeypatch.undo()
    resumed = tmp_path / "runs" / "small-2"
    assert not (resumed / "model").exists()
    assert train.main(["--resume", str(resumed)]) == 0
    assert losses(resumed) == losses(finished)
    assert equal(weights(resumed), weights(finished))


def test_resume_takes_the_latest_run(finished, config, capsys):
    assert train.main([str(config), "--resume", "latest", "data.workers=0"]) == 0  # what it has anyway
    assert str(finished) in capsys.readouterr().out
    assert train.main([str(config), "--resume", "latest", "optim.ema_decay=0.5"]) == 2
    assert "'optim.ema_decay=0.5'" in capsys.readouterr().err


def test_average_is_not_the_last_weights(finished):
    state = torch.load(finished / "checkpoints" / "stage2.ckpt", weights_only=False)["state_dict"]
    name = "head.encoder.in_conv.weight"
    assert not torch.equal(state[f"model.{name}"], state[f"ema.model.{name}"])
    assert torch.equal(weights(finished)[name], state[f"ema.model.{name}"])


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


def test_damaged_checkpoint_is_named(finished, capsys):
    (finished / "checkpoints" / "stage2.ckpt").write_bytes(b"damaged")
    assert train.main(["--resume", str(finished)]) == 2
    assert "stage2.ckpt" in capsys.readouterr().err.strip().splitlines()[-1]
