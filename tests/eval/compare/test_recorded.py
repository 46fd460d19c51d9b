"""``--recorded``: what run folders recorded, in one table and one plot, in a folder of its own."""

import json

import pytest
from PIL import Image

from eval.__main__ import main

SPLIT = {"generation": {"overall": 0.25}, "frechet_siglip": 0.5}
METRICS = "stage,step,metric,value\nstage1,0,loss/flow,1.0\nstage1,1,loss/flow,0.5\n"


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Two run folders, in the folder where the command runs."""
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        (run / "scores.json").write_text(json.dumps({"in_distribution": SPLIT, "held_out": SPLIT}))
        (run / "metrics.csv").write_text(METRICS)
    return tmp_path


def fails(capsys, arguments, *values):
    capsys.readouterr()
    assert main(["compare", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and all(str(value) in line for value in values), line


def test_its_folder_is_its_own_and_runs_may_change(runs, capsys):
    kept = runs / "results" / "compare" / "models.json"
    kept.parent.mkdir(parents=True)
    kept.write_text('{"flow": ["A"], "ar": ["B"]}')
    assert main(["compare", "runs/a", "runs/b", "--recorded"]) == 0
    assert "| a | 0.250 / 0.250 | – / – | – / – | 0.500 / 0.500 | – / – | – / – |" in capsys.readouterr().out
    out = runs / "results" / "recorded"
    assert {path.name for path in out.iterdir()} == {"recorded.md", "losses.png"}
    Image.open(out / "losses.png").verify()
    (runs / "runs" / "a" / "metrics.csv").unlink()  # without losses the earlier plot goes
    assert main(["compare", "runs/a", "--recorded"]) == 0
    page = (out / "recorded.md").read_text()
    assert "| a |" in page and "| b |" not in page and "losses.png" not in page
    assert [path.name for path in out.iterdir()] == ["recorded.md"]
    assert [path.name for path in kept.parent.iterdir()] == ["models.json"]


def test_folders_of_others_are_left_alone_and_damaged_scores_named(runs, capsys):
    fails(capsys, ["runs/a", "--recorded", "--out", "runs/a"], "runs/a", "--out")
    assert {path.name for path in (runs / "runs" / "a").iterdir()} == {"scores.json", "metrics.csv"}
    fails(capsys, ["runs/a", "--recorded", "--out", "runs/a/scores.json"], "runs/a/scores.json")
    fails(capsys, ["runs/c", "--recorded"], "no run folder at runs/c")
    for damage in ('{"in_distr', "[1]", '{"held_out": {}}', '{"in_distribution": 1, "held_out": {}}'):
        (runs / "runs" / "b" / "scores.json").write_text(damage)
        fails(capsys, ["runs/a", "runs/b", "--recorded"], "runs/b/scores.json")
    assert not (runs / "results").exists()
