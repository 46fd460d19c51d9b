"""The site of docs/: every link, name and card of it is there."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

NEEDED = ("mkdocs", "material", "mkdocstrings", "latex2mathml")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    for name in NEEDED:
        pytest.importorskip(name, reason="pip install -e '.[docs]' builds the site")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_formulas_functions_examples_and_files_are_in_it(site):
    concepts = (site / "concepts.html").read_text()
    assert "<math" in concepts and "$$" not in concepts
    assert 'href="api/method.html#janusflow.flow.velocity_loss"' in concepts
    assert "Runge and Kutta" in (site / "extend.html").read_text(), "examples/my_solvers.py is shown"
    assert (site / "files/configs/janusflow_1b/stage1.yaml").read_text().startswith("# Stage 1")
    method = (site / "api/method.html").read_text()
    assert 'id="janusflow.flow.velocity_loss"' in method
    assert 'id="janusflow.guidance._settings"' not in method, "private names are none of a reader's"
    assert "torch&#39;s seconds over ours" in (site / "results/cards.html").read_text().replace("'", "&#39;")


@pytest.fixture
def cards(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "hooks"))
    import cards

    return cards


def test_every_stored_result_is_on_a_card_with_the_numbers_of_its_file(cards):
    entries = cards.read_list()
    on_cards = {entry["files"][0] for entry in entries}
    folders = (ROOT / "docs" / "results", ROOT / "benchmarks" / "results")
    stored = {str(path.relative_to(ROOT)) for folder in folders for path in folder.rglob("*.json")}
    assert on_cards == stored, "docs/results/cards.yaml names every stored result"
    text = {entry["files"][0]: cards.card(entry) for entry in entries}  # raises where a number is not there
    figures = json.loads((ROOT / "benchmarks/results/muon.json").read_text())
    card = text["benchmarks/results/muon.json"]
    assert f"| {figures['ratio']:.4g} |" in card and f"versions: torch {figures['torch']}" in card
    assert "python benchmarks/muon.py" in card and f"hardware: {figures['processor']}, threads 2" in card


def test_a_number_that_is_not_there_is_named(cards):
    rows = {"rows": [{"batch": 1, "speed": 2.0}, {"batch": 16, "speed": 3.0}]}
    assert cards.look_up(rows, "rows/batch=16/speed") == 3.0
    with pytest.raises(KeyError, match="rows/batch=2/speed: there is no batch=2"):
        cards.look_up(rows, "rows/batch=2/speed")
