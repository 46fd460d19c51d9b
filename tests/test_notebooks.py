"""The notebooks of examples/: stored without outputs, and run as they are, cell by cell, in a kernel of their own."""

import json

import pytest

from janusflow.checkpoints.pretrained import save_pretrained
from tests.conftest import ROOT
from tests.eval.conftest import build

FOLDER = ROOT / "examples" / "notebooks"
NAMES = ("look_inside", "train_small", "score_a_folder")
TIMEOUT = 800  # seconds a cell


def test_they_are_stored_without_outputs():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NAMES)
    for name in NAMES:
        cells = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        kept = [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
        assert not kept, f"{name}: {kept[0]['source']}"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_cell_runs(name, tmp_path, monkeypatch, tokenizer):
    """On a small model of random weights where one is asked for: what cells show is not looked at."""
    nbclient = pytest.importorskip("nbclient", reason="pip install -e '.[docs]' runs notebooks")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel", reason="pip install -e '.[docs]' runs notebooks")
    save_pretrained(build("flow", tokenizer), tmp_path / "tiny")
    monkeypatch.setenv("MODEL", str(tmp_path / "tiny"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MPLBACKEND", "agg")
    book = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    place = {"metadata": {"path": str(tmp_path)}}
    client = nbclient.NotebookClient(book, timeout=TIMEOUT, kernel_name="python3", resources=place)
    client.execute()  # raises CellExecutionError with the cell and the trace
    errors = [out for cell in book.cells for out in cell.get("outputs", ()) if out.output_type == "error"]
    assert not errors and any(cell.get("outputs") for cell in book.cells)
