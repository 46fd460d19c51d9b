"""The Python code of the README and of docs/ runs, and gives what its comments say."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import dynamic_module_utils

from eval.__main__ import main as evaluate
from janusflow import cli
from janusflow.checkpoints.pretrained import save_pretrained
from janusflow.config import load_config
from janusflow.data.rows import RowBuilder
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.models.unified import UnifiedModel
from janusflow.training.config import RunConfig
from janusflow.training.data import StageData
from tests.conftest import ROOT


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


def commented(code: str) -> list[str]:
    """What the comments behind ``print`` say."""
    return re.findall(r"^print.*  # (.*)$", code, re.MULTILINE)


def test_the_shipped_model_of_the_readme_draws_and_answers(capsys):
    (code,) = blocks("README.md")
    names: dict = {}
    exec(code, names)
    assert names["image"].size == (48, 48)
    assert capsys.readouterr().out.splitlines() == commented(code)


def test_the_released_model_is_loaded_by_its_name_moved_and_saved(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, *_ = blocks("docs/models.md")
    local = code.replace('"deepseek-ai/JanusFlow-1.3B", device="cuda"', '"shapes-flow"')
    assert local != code
    names: dict = {}
    exec(local, names)
    assert len(names["images"]) == 4 and names["done"] == [1, 2, 3, 4]
    assert names["images"][0].tobytes() != names["images"][1].tobytes()
    described, answered = capsys.readouterr().out.splitlines()
    assert "48 px" in described and answered
    assert json.loads((tmp_path / "lighthouse/config.json").read_text())["model_type"] == "multi_modality"


@pytest.fixture
def mine(flow_bundle, tmp_path, monkeypatch):
    """A working folder with a run's tiny model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    save_pretrained(flow_bundle, tmp_path / "runs/mine/model")


def test_the_pipeline_of_the_models_page_draws(mine, capsys):
    _, code, _ = blocks("docs/models.md")
    local = code.replace('"deepseek-ai/JanusFlow-1.3B", torch_dtype=torch.bfloat16).to("cuda")', '"runs/mine")')
    assert local != code
    names: dict = {}
    exec(local, names)
    assert len(names["images"]) == 2 and len(capsys.readouterr().out.splitlines()) == 4


def test_a_published_folder_has_scores_and_is_an_auto_model(mine, parts, capsys):
    bench = parts["my_bench.py"].removeprefix("python -m eval ").split()
    assert evaluate([*bench, "--model", "runs/mine", "--steps", "1", "--out", "results/mine"]) == 0
    capsys.readouterr()
    *_, code = blocks("docs/models.md")
    exec(code, {})
    assert capsys.readouterr().out.splitlines() == ["(32, 32)"]
    assert "redness" in Path("mine/README.md").read_text() and "license: mit" in Path("mine/README.md").read_text()


def test_the_scorers_print_what_their_comments_say(capsys):
    code = next(block for block in blocks("docs/evaluation.md") if "print" in block)
    exec(code, {})
    assert capsys.readouterr().out.splitlines() == commented(code)


def test_the_library_of_scorers(tmp_path):
    (code,) = (block for block in blocks("docs/evaluation.md") if "print" not in block)
    csv_file = tmp_path / "dpg_bench.csv"
    csv_file.write_text(
        "item_id,text,proposition_id,dependency,tuple,question_natural_language\n"
        "partiprompts0,a dog,1,0,entity - whole (dog),Is there a dog?\n"
        "partiprompts0,a dog,2,1,attribute - color (red),Is it red?\n"
    )
    rng = np.random.default_rng(0)
    names = {"generated": rng.normal(size=(40, 8)), "real": rng.normal(size=(50, 8)), "csv_file": csv_file}
    lines = [line for line in code.splitlines() if line.strip()]
    results = []
    for line in lines:
        if re.match(r"from |\w+ = ", line):
            exec(line, names)
        else:
            results.append(eval(line, names))
    distance, (kid, manifold), tag, overall = results
    assert distance > 0 and abs(kid) < 1 and 0 < manifold.precision <= 1
    assert tag == 1.0 and overall == pytest.approx(50)


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A working folder with the files of docs/architecture.md; how each is chosen, as its first line says."""
    chosen = {}
    for code in blocks("docs/architecture.md"):
        file, _, how = code.splitlines()[0].removeprefix("# ").partition(": ")
        (tmp_path / file).write_text(code)
        chosen[file] = how
        monkeypatch.delitem(sys.modules, file.removesuffix(".py"), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    return chosen


def test_the_sampler_and_the_guidance_form_of_the_architecture_draw(parts, tmp_path):
    draw = ["generate", "a ring", "--num-images", "1", "--steps", "2", "--out", "out"]
    assert cli.main([*draw, *parts["my_solvers.py"].split()]) == 0
    settings = Image.open(tmp_path / "out/a-ring-0.png").text
    assert settings["sampler"] == "my_solvers:adams_bashforth" and settings["guidance_form"] == "my_solvers:rescaled"


def test_the_source_and_the_loss_of_the_architecture_train(parts, tokenizer):
    stage = ["stages.stage1.ratios=[{generation: 1}]", "stages.stage1.batch_size=2", "data.workers=0"]
    overrides = ["data.sources={}", parts["my_data.py"], parts["my_losses.py"], *stage]
    config = load_config(RunConfig, ROOT / "configs/shapes.yaml", overrides)
    builder = RowBuilder(ChatTemplate(tokenizer, ChatConfig(), 36), image_size=48, max_length=256)
    step = next(iter(StageData(builder, config.stages["stage1"], config.data, (0, 0)).train_dataloader()))
    (batch,) = step.micro_batches
    assert (batch.gen_pixels == 1).all()
    model = UnifiedModel(config.model)
    latents = torch.randn(2, *model.head.latent_shape)
    losses = model(batch.rows, batch.labels, batch.und_pixels, batch.gen_pixels, latents, batch.seeds)
    assert losses["small"] > 0 and model.weights["small"] == 0.01


def test_the_benchmark_of_the_architecture_is_scored(parts, tmp_path, capsys):
    command = parts["my_bench.py"].removeprefix("python -m eval ").split()
    assert evaluate([*command, "--steps", "1", "--out", "out"]) == 0
    assert "redness" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "out/result.json").read_text())["items"]) == 3
