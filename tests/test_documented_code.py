"""The Python code of the README and of docs/ runs, and gives what its comments say."""

from __future__ import annotations

import re

import numpy as np
import pytest

from janusflow.weights import SHIPPED
from tests.conftest import ROOT

LIBRARY = "docs/evaluation.md"


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)


def test_the_readme_s_shipped_model_draws_and_answers(capsys):
    code = next(block for block in blocks("README.md") if "generate_images" in block)
    names: dict = {}
    exec(code, names)
    assert names["image"].size == (48, 48)
    assert "green" in capsys.readouterr().out


def test_the_readme_s_released_model_is_loaded_by_its_name():
    code = next(block for block in blocks("README.md") if "deepseek-ai" in block)
    local = code.replace('"deepseek-ai/JanusFlow-1.3B", device="cuda"', f"{str(SHIPPED['shapes-flow'])!r}")
    assert local != code
    names: dict = {}
    exec(local, names)
    assert names["bundle"].model.config.head == "flow"


def test_the_readme_s_scorers_print_what_their_comments_say(capsys):
    code = next(block for block in blocks("README.md") if "score_image" in block)
    exec(code, {})
    assert capsys.readouterr().out.splitlines() == re.findall(r"^print.*  # (.*)$", code, re.MULTILINE)


def test_the_library_of_scorers(tmp_path):
    (code,) = blocks(LIBRARY)
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
