"""A run of seconds, and what it left behind."""

import csv

import pytest
import torch

import train
from janusflow.checkpoints.pretrained import load_pretrained
from tests.conftest import ROOT

# Two short stages of a small model on the world's own pictures and parts.
SMALL = """
base: {base}
name: small
out: {out}
model:
  llm: {{hidden_size: 32, intermediate_size: 64, num_layers: 2, num_heads: 2, num_kv_heads: 2}}
  vision: {{width: 24, depth: 1, num_heads: 2}}
  head: {{width: 16, encoder_blocks: 1, decoder_blocks: 1}}
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
