"""A task in a file of one's own, outside the package; and ``python -m eval sweep`` and ``list``."""

import json

import pytest
from PIL import Image

from eval.__main__ import main
from eval.pages.sweep import plotted, settings_of, short_name
from eval.tasks import TASKS, all_tasks
from tests.conftest import documented_commands


@pytest.fixture
def folder(examples):
    """A working folder with my_bench.py, in which something else stands, too."""
    with (examples / "my_bench.py").open("a") as file:
        file.write("\nnumber = 3\n")
    return examples


def test_a_task_of_ones_own_runs_sweeps_and_is_scored_again_when_it_changes(folder, models, capsys):
    run, sweep = (words[3:] for words in documented_commands("my_bench.py"))
    model = ["--model", str(models / "flow"), "--steps", "1"]
    assert main([*run, *model]) == 0
    assert "redness of a red circle" in capsys.readouterr().out
    result = json.loads((folder / "results/redness/result.json").read_text())
    assert result["task"] == "redness" and len(result["items"]) == 3 and result["complete"]
    assert main([*run, *model, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"] == result["scores"]
    assert main([*sweep, *model]) == 0
    assert (folder / "results/redness-sweep/report.md").exists()
    key = json.loads((folder / "results/redness/scored.json").read_text())["key"]
    (folder / "my_bench.py").write_text((folder / "my_bench.py").read_text().replace("number = 3", "number = 4"))
    assert main([*run, *model]) == 0
    assert json.loads((folder / "results/redness/scored.json").read_text())["key"] != key


def fails(capsys, command, message):
    assert main(command) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_what_is_no_task_and_a_sweep_without_pictures_is_one_line(folder, capsys):
    for task, message in (
        ("my_bench:Other", "my_bench has no Other"),
        ("my_bench:number", "no class derived from eval.task.Task"),
        ("no_bench:Mine", "cannot be imported"),
    ):
        fails(capsys, ["run", task, "--out", "out"], message)
    fails(capsys, ["sweep", "pope", "--steps", "1"], "pope draws no pictures")


def test_tasks_are_named_alike_everywhere(capsys):
    assert [task.name for task in all_tasks()] == list(TASKS.paths)
    assert main(["list"]) == 0
    assert "world: world\n    needs nothing" in capsys.readouterr().out


# --- sweeps ---

FEW = ["--prompts-per-tag", "1", "--images-per-prompt", "1", "--questions-per-kind", "0", "--workers", "0"]
FEW += ["--reference-images", "8"]


def test_every_combination_is_a_setting_with_a_name_of_its_own():
    settings = settings_of({"guidance": [1.0, 2.5], "steps": [2, 4]})
    names = [f"guidance={weight},steps={steps}" for weight in ("1", "2.5") for steps in (2, 4)]
    assert [short_name(one) for one in settings] == names
    settings = settings_of({"guidance": [1.0, 1.0000001, 12345678.0, 12345679.0]})
    assert len({short_name(one) for one in settings}) == 4
    with pytest.raises(ValueError, match="a value of steps stands twice: 2, 2"):
        settings_of({"steps": [2, 2]})
    assert plotted({"guidance": [1.0], "steps": [1, 2], "sampler": ["euler", "heun"]}) == ["steps"]


def test_a_sweep_scores_every_setting_and_goes_on(models, tmp_path, capsys):
    command = ["sweep", "world", "--model", str(models / "flow"), "--out", str(tmp_path / "out"), *FEW]
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


def test_settings_are_checked_before_anything_is_drawn(models, tmp_path, capsys):
    command = ["sweep", "world", "--model", str(models / "flow"), "--out", str(tmp_path / "out"), *FEW]
    for bad, message in (
        ([], "nothing to sweep"),
        (["--steps", "1", "0"], "steps must be at least 1"),
        (["--steps", "1", "--guidance", "-1"], "-1"),
        (["--temperature", "1", "2"], "temperature does not go with a flow head"),
    ):
        fails(capsys, [*command, *bad], message)
        assert not list(tmp_path.rglob("*.png"))
