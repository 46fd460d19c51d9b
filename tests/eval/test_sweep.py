"""``python -m eval sweep`` on a tiny random model."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from eval.__main__ import main
from eval.pages.sweep import plotted, settings_of, short_name

FEW = ["--prompts-per-tag", "1", "--images-per-prompt", "1", "--questions-per-kind", "0", "--workers", "0"]
FEW += ["--reference-images", "8"]


def test_every_combination_is_a_setting():
    settings = settings_of({"guidance": [1.0, 2.5], "steps": [2, 4]})
    assert [short_name(one) for one in settings] == [
        "guidance=1,steps=2",
        "guidance=1,steps=4",
        "guidance=2.5,steps=2",
        "guidance=2.5,steps=4",
    ]


def test_no_two_settings_share_a_name():
    settings = settings_of({"guidance": [1.0, 1.0000001, 12345678.0, 12345679.0]})
    assert len({short_name(one) for one in settings}) == 4


def test_a_value_that_stands_twice_is_refused():
    with pytest.raises(ValueError, match="a value of steps stands twice: 2, 2"):
        settings_of({"steps": [2, 2]})


def test_names_and_single_values_are_not_plotted():
    assert plotted({"guidance": [1.0], "steps": [1, 2], "sampler": ["euler", "heun"]}) == ["steps"]


def test_a_sweep_scores_every_setting_and_goes_on(models, tmp_path, capsys):
    command = ["sweep", "shapes", "--model", str(models / "flow"), "--out", str(tmp_path / "out"), *FEW]
    assert main([*command, "--guidance", "1", "2", "--steps", "1", "2"]) == 0
    assert "report.md" in capsys.readouterr().out
    points = json.loads((tmp_path / "out" / "sweep.json").read_text())["points"]
    assert [point["setting"] for point in points] == settings_of({"guidance": [1.0, 2.0], "steps": [1, 2]})
    for point in points:
        result = json.loads((tmp_path / "out" / short_name(point["setting"]) / "result.json").read_text())
        assert result["provenance"]["model"]["sampling"]["steps"] == point["setting"]["steps"]
        assert result["scores"] == point["scores"]
    for name in ("guidance.png", "steps.png"):
        Image.open(tmp_path / "out" / name).verify()

    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("pictures/**/*.png")}
    assert main([*command, "--guidance", "1", "--steps", "1", "2", "3"]) == 0
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())
    assert len(json.loads((tmp_path / "out" / "sweep.json").read_text())["points"]) == 3


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], "nothing to sweep"),
        (["--steps", "1", "0"], "steps must be at least 1"),
        (["--steps", "1", "--guidance", "-1"], "-1"),
        (["--temperature", "1", "2"], "temperature does not go with a flow head"),
    ],
)
def test_settings_are_checked_before_anything_is_drawn(models, tmp_path, capsys, bad, message):
    out = tmp_path / "out"
    assert main(["sweep", "shapes", "--model", str(models / "flow"), "--out", str(out), *FEW, *bad]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not list(out.rglob("*.png"))
