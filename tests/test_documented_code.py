"""The Python code of the README and of docs/ runs, and gives what its comments say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from transformers import dynamic_module_utils

from eval.__main__ import main as evaluate
from janusflow.checkpoints.pretrained import save_pretrained
from janusflow.config import load_config
from janusflow.training.config import RunConfig
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
def mine(flow_bundle, examples, tmp_path, monkeypatch):
    """A working folder with a run's tiny model."""
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    save_pretrained(flow_bundle, tmp_path / "runs/mine/model")


def test_the_pipeline_of_the_models_page_draws(mine, capsys):
    _, code, _ = blocks("docs/models.md")
    local = code.replace('"deepseek-ai/JanusFlow-1.3B", torch_dtype=torch.bfloat16).to("cuda")', '"runs/mine")')
    assert local != code
    names: dict = {}
    exec(local, names)
    assert len(names["images"]) == 2 and len(capsys.readouterr().out.splitlines()) == 4


def test_a_published_folder_has_scores_and_is_an_auto_model(mine, capsys):
    assert evaluate(["run", "my_bench:Redness", "--model", "runs/mine", "--steps", "1", "--out", "results/mine"]) == 0
    capsys.readouterr()
    *_, code = blocks("docs/models.md")
    exec(code, {})
    assert capsys.readouterr().out.splitlines() == ["(32, 32)"]
    assert "redness" in Path("mine/README.md").read_text() and "license: mit" in Path("mine/README.md").read_text()


def test_the_configuration_of_ones_own_data_is_one(tmp_path):
    (text,) = re.findall(r"```yaml\n(base:.*?)```", (ROOT / "docs/own_data.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "MY.yaml").write_text(text.replace("base: ", f"base: {ROOT}/"))
    config = load_config(RunConfig, tmp_path / "MY.yaml")
    assert [*config.data.sources] == ["photos"] and config.adapter.rank == 16
    assert config.stages["finetune"].steps == 2000 and config.stages["finetune"].ratios[0].generation == 70


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
