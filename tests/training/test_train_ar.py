"""``python train.py`` with the autoregressive head: what a run leaves, exact resumption, stored codes, wrong parts."""

import json
import shutil

import pytest
import torch
from PIL import Image

import train
from janusflow.checkpoints.pretrained import load_pretrained
from janusflow.cli import main as janusflow
from janusflow.config import load_config
from janusflow.training.build import build_bundle
from janusflow.training.config import RunConfig
from janusflow.weights import SHIPPED
from tests.conftest import ROOT
from tests.training.test_train import equal, losses, weights

SMALL = """
base: {base}
name: small
out: {out}
model:
  llm: {{hidden_size: 32, intermediate_size: 64, num_layers: 2, num_heads: 2, num_kv_heads: 2}}
  vision: {{width: 24, depth: 1, num_heads: 2}}
  head: {{head_width: 16}}
parts: {{vision: null, llm: null}}
data: {{workers: 0}}
stages:
  stage1: {{steps: 4, batch_size: 8, warmup_steps: 2}}
  stage2: {{steps: 7, batch_size: 8, warmup_steps: 2}}
trainer: {{save_every: 3, log_every: 1, precision: 32-true}}
preview: {{images: 2, prompts: [a red circle, two stars]}}
report: {{prompts_per_tag: 1, images_per_prompt: 2, questions_per_kind: 2, reference_images: 4}}
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL.format(base=ROOT / "configs/shapes_ar.yaml", out=tmp_path / "runs"))
    return path


@pytest.fixture
def finished(config, tmp_path):
    assert train.main([str(config)]) == 0
    return tmp_path / "runs" / "small"


def test_run_leaves_a_model_scores_and_pictures(finished, tmp_path):
    assert {name for *_, name in losses(finished)} >= {"loss/ar", "loss/codes", "loss/total"}
    protocol = json.loads((finished / "scores.json").read_text())["protocol"]
    assert protocol["sampling"] == {"guidance": 4.0, "temperature": 1.0, "top_k": None, "top_p": 1.0}
    assert "autoregressive, w = 4, temperature 1" in (finished / "report.md").read_text()
    assert (finished / "samples" / "stage2-000007.png").exists()
    bundle = load_pretrained(finished)
    assert bundle.model.config.head == "ar" and bundle.codec.codebook_size == 2048
    assert janusflow(["generate", "a ring", "--model", str(finished), "--num-images", "1", "--out", str(tmp_path)]) == 0


def test_resumed_run_equals_the_uninterrupted_one(finished, tmp_path):
    """From the state in the middle of the second stage, as if everything after it had been lost."""
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    shutil.rmtree(copy / "model")
    shutil.rmtree(copy / "checkpoints" / "stage2-000007")
    assert train.main(["--resume", str(copy)]) == 0
    assert losses(copy) == losses(finished)
    assert equal(weights(copy), weights(finished))


def test_two_runs_are_equal_and_another_seed_is_not(config, finished, tmp_path):
    assert train.main([str(config), "name=again"]) == 0
    assert train.main([str(config), "name=other", "seed=1"]) == 0
    assert equal(weights(tmp_path / "runs" / "again"), weights(finished))
    assert losses(tmp_path / "runs" / "other") != losses(finished)


def test_stored_codes_train_as_the_tokenizer_in_the_step_does(config, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    lines = []
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (64, 50), colour).save(photos / f"{colour}.png")
        lines.append(json.dumps({"file": f"{colour}.png", "captions": [f"a {colour} picture"]}))
    (photos / "captions.jsonl").write_text("\n".join(lines))
    own = [f"data.sources.photos.{key}={value}" for key, value in {"kind": "folder", "path": photos}.items()]
    own += ["report.tasks=[]", "stages.stage2.ratios=[{generation: 1}]", "stages.stage1.ratios=[{generation: 1}]"]
    assert train.main([str(config), "name=online", *own]) == 0
    assert janusflow(["encode-latents", str(photos), "--vae", "janusflow/assets/shapes/vq", "--size", "48"]) == 0
    assert train.main([str(config), "name=stored", *own, "data.sources.photos.cached_latents=true"]) == 0
    assert losses(tmp_path / "runs" / "stored") == losses(tmp_path / "runs" / "online")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["parts.vq=shapes/vae"], ["48 pixels into 4 x 12 x 12", "head expects 36"]),
        (["model.head.codebook_size=512"], ["2048 codes", "512"]),
        (["model.head.grid=5"], ["5 x 5", "6 x 6"]),
        ([f"parts.checkpoint={SHIPPED['shapes-flow']}"], ["flow", "model.head=flow"]),
        (["model.head=diffusion"], ["diffusion"]),
        (["preview.top_p=2"], ["top_p"]),
        (["report.temperature=-1"], ["-1"]),
        (["preview.top_k=5000"], ["5000", "2048"]),
    ],
)
def test_what_does_not_fit_is_one_line(config, capsys, overrides, words):
    assert train.main([str(config), *overrides]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ") and all(word in line for word in words), line


def test_a_flow_runs_state_does_not_start_an_autoregressive_run(config, finished, capsys, tmp_path):
    flow = ROOT / "configs/shapes.yaml"
    sizes = ["model.llm.hidden_size=32", "model.llm.intermediate_size=64", "model.llm.num_layers=2", "parts.llm=null"]
    sizes += ["model.llm.num_heads=2", "model.llm.num_kv_heads=2", "model.vision.width=24", "model.vision.num_heads=2"]
    sizes += ["model.vision.depth=1", "parts.vision=null", f"parts.run={finished}", f"out={tmp_path}"]
    assert train.main([str(flow), *sizes]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ") and str(finished) in line


def test_the_codes_embedding_begins_as_the_codebook(config):
    bundle = build_bundle(load_config(RunConfig, config))
    torch.testing.assert_close(bundle.model.head.encoder.weight, bundle.codec.codebook)
    rows = bundle.model.head.encoder.weight.norm(dim=-1)
    torch.testing.assert_close(rows, torch.ones_like(rows))
    other = build_bundle(load_config(RunConfig, config, ["model.head.code_channels=4"]))
    assert other.model.head.encoder.weight.shape == (2048, 4)
