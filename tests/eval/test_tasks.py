"""A task in a file of one's own, outside the package, named on the command line."""

from __future__ import annotations

import json

import pytest

from eval.__main__ import main
from eval.tasks import TASKS, all_tasks

MINE = '''
from dataclasses import dataclass

from janusflow.options import option
from eval.task import Drawing, Judge, Judged, Scored, Task, Work


@dataclass(frozen=True)
class Options:
    pictures: int = option(2, "how many")


class Red(Judge):
    def judge(self, drawings, images):
        return [Judged({"red": image.getpixel((0, 0))[0]}) for image in images]


class Mine(Task):
    """How red the corner is."""

    name = "mine"
    title = "redness"
    options = Options

    def prepare(self, limit=None):
        count = min(self.given.pictures, limit or self.given.pictures)
        return Work([Drawing(str(n), "a red circle", (n,), f"{n}.png") for n in range(count)])

    def departures(self, judge):
        return []

    def load_judge(self):
        return Red()

    def score(self, work, judged, answers):
        items = {one.id: {"red": judged[one.id].record["red"]} for one in work.drawings}
        return Scored("mean", {"mean": sum(one["red"] for one in items.values()) / len(items)}, items)


number = 3
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_bench.py").write_text(MINE)
    return tmp_path


def test_a_task_of_ones_own_runs_sweeps_and_is_scored_again_when_it_changes(folder, models, capsys):
    command = ["my_bench:Mine", "--model", str(models / "flow"), "--pictures", "3"]
    assert main(["run", *command, "--steps", "1", "--out", "out"]) == 0
    assert "redness" in capsys.readouterr().out
    result = json.loads((folder / "out" / "result.json").read_text())
    assert result["task"] == "mine" and len(result["items"]) == 3 and result["complete"]
    assert main(["sweep", *command, "--steps", "1", "2", "--out", "swept"]) == 0
    assert (folder / "swept" / "report.md").exists()
    key = json.loads((folder / "out" / "scored.json").read_text())["key"]
    (folder / "my_bench.py").write_text(MINE.replace("number = 3", "number = 4"))
    assert main(["run", *command, "--steps", "1", "--out", "out"]) == 0
    assert json.loads((folder / "out" / "scored.json").read_text())["key"] != key


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("my_bench:Other", "my_bench has no Other"),
        ("my_bench:number", "no class derived from eval.task.Task"),
        ("no_bench:Mine", "cannot be imported"),
    ],
)
def test_what_is_no_task_is_one_line(folder, capsys, task, message):
    assert main(["run", task, "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_task_without_pictures_is_not_swept(capsys):
    assert main(["sweep", "pope", "--steps", "1"]) == 2
    assert "pope draws no pictures" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["run", "pop"])
    assert "invalid choice: 'pop'" in capsys.readouterr().err


def test_tasks_are_named_alike_everywhere():
    assert [task.name for task in all_tasks()] == list(TASKS.paths)
