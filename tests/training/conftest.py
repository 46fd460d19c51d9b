"""Runs of seconds of both heads, and what they left behind."""

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml

import train
from janusflow.checkpoints.pretrained import load_pretrained
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
{head}
parts: {{vision: null, llm: null}}
data: {{workers: 0, held_out: 2}}
stages:
  stage1: {{steps: 4, batch_size: 8, warmup_steps: 2}}
  stage2: {{steps: 7, batch_size: 8, warmup_steps: 2}}
trainer: {{save_every: 3, log_every: 1, validate_every: 2, precision: 32-true}}
preview: {{images: 1, prompts: [a red circle, two stars]{steps}}}
report: {{tasks: []}}
"""
HEADS = {
    "flow": {
        "base": ROOT / "configs/shapes.yaml",
        "head": "  head: {width: 16, encoder_blocks: 1, decoder_blocks: 1}\n"
        "  losses: {repa: {block: 1, hidden_size: 16}}",
        "steps": ", sampling: {steps: 2}",
    },
    "ar": {"base": ROOT / "configs/shapes_ar.yaml", "head": "  head: {head_width: 16}", "steps": ""},
}
QUIET = "preview.prompts=[]"
REPORT = (
    "report.tasks=[generation,understanding]",
    *("report.prompts_per_tag=1", "report.images_per_prompt=2", "report.questions_per_kind=2"),
    "report.reference_images=8",
)
SPEED = ("tokens_per_second", "generated_images_per_second", "seconds_per_step", "data_wait", "memory_gib")


def write_config(folder, head="flow"):
    path = folder / "small.yaml"
    path.write_text(SMALL.format(out=folder / "runs", **HEADS[head]))
    return path


@pytest.fixture
def config(tmp_path):
    return write_config(tmp_path)


@dataclass
class Finished:
    """A run that is done; tests that change it take a copy."""

    head: str
    run: Path
    config: Path

    def copy(self, folder):
        copy = shutil.copytree(self.run, folder / "runs" / "small")
        config = yaml.safe_load((copy / "config.yaml").read_text())
        config["report"]["tasks"] = []
        (copy / "config.yaml").write_text(yaml.safe_dump(config))
        return copy


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A function that gives the finished run of a head, with scores; each is trained once."""
    found = {}

    def finished(head):
        if head not in found:
            folder = tmp_path_factory.mktemp(head)
            more = ["report.sampling={steps: 2}"] if head == "flow" else []
            assert train.main([str(write_config(folder, head)), *REPORT, *more]) == 0
            found[head] = Finished(head, folder / "runs" / "small", folder / "small.yaml")
        return found[head]

    return finished


@pytest.fixture(scope="session")
def finished(runs):
    """The run of the flow head."""
    return runs("flow").run


@pytest.fixture(scope="session", params=HEADS)
def either(request, runs):
    """The run of each head."""
    return runs(request.param)


def losses(run):
    """Everything logged but speed and memory: {(stage, step, name): value}."""
    with (run / "metrics.csv").open(newline="") as file:
        lines = [row for row in csv.DictReader(file) if row["metric"] not in SPEED]
    return {(row["stage"], int(row["step"]), row["metric"]): row["value"] for row in lines}


def assert_close(run, reference, stages=("stage1", "stage2"), **tolerance):
    """The same lines of losses, training and validation, with nearly the same values."""
    found = losses(run)
    expected = {key: value for key, value in losses(reference).items() if key[0] in stages}
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if key[2].startswith(("loss/", "validation/")):
            assert float(found[key]) == pytest.approx(float(value), **tolerance), key


def weights(run):
    return load_pretrained(run).model.state_dict()


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Killed(BaseException):
    """The end of a process, as a test can see it."""


@pytest.fixture
def at_step(monkeypatch):
    """A function that has something done before step ``step`` of the stage of ``steps`` steps."""

    def set_up(steps, step, action):
        training_step = UnifiedModule.training_step

        def watched(self, data, batch_idx):
            if self.stage.steps == steps and self.first_step + batch_idx == step:
                action()
            return training_step(self, data, batch_idx)

        monkeypatch.setattr(UnifiedModule, "training_step", watched)

    return set_up
