"""What a result says: how much of a benchmark it is of, its intervals, and that it is scored once."""

import json
from pathlib import Path

import pytest
from PIL import Image

from eval.__main__ import main
from eval.dpg_bench.task import DPGBench
from eval.files import read_json
from eval.geneval.task import GenEval, GenEvalOptions
from eval.result import RESULT, read_result
from eval.understanding.pope import SPLITS, Pope
from eval.understanding.vqav2 import SIZES, VQAv2, VQAv2Options
from tests.conftest import SHARED

PROMPTS = SHARED / "data" / "prompts"
TITLE = "POPE (F1 over all rows)"


def pope_of(folder: Path, pictures: int, is_right) -> list[str]:
    """The command that scores answers to a question a split about each of some pictures of POPE."""
    (folder / "val2014").mkdir(parents=True)
    answers = {}
    for split in SPLITS:
        rows = []
        for number in range(pictures):
            name, label = f"COCO_val2014_{number:012d}.jpg", ("yes", "no")[number % 2]
            Image.new("RGB", (4, 4)).save(folder / "val2014" / name)
            rows.append({"question_id": number, "image": name, "text": "Is there a dog?", "label": label})
            answers[f"{split}/{number}"] = label if is_right(number) else {"yes": "no", "no": "yes"}[label]
        (folder / f"coco_pope_{split}.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "answers.json").write_text(json.dumps(answers))
    out = ["--out", str(folder / "mine" / "pope")]
    return ["run", "pope", "--data", str(folder), "--answers", str(folder / "answers.json"), *out]


@pytest.fixture
def pope(tmp_path) -> list[str]:
    """Right answers to six questions."""
    return pope_of(tmp_path, 2, lambda number: True)


def result_of(command: list[str]) -> dict:
    return read_result(Path(command[command.index("--out") + 1]) / RESULT)


def test_a_part_in_the_files_is_named_and_leaves_the_papers_columns(pope, tmp_path, capsys):
    assert main(pope) == 0
    result, title = result_of(pope), f"{TITLE}, 6 of 9000 items"
    assert result["complete"] and result["scores"]["Overall"] == 100
    assert result["title"] == title and result["columns"] == {}
    assert {name: count for name, count in result["protocol"].items() if name.startswith("items")} == {
        "items in the files": 6,
        "items of the benchmark": 9000,
    }
    assert f"{title}\n" in capsys.readouterr().out
    assert main(["report", str(tmp_path / "mine"), "--out", str(tmp_path / "page")]) == 0
    page = (tmp_path / "page" / "report.md").read_text()
    assert f"| {title}: Overall | 100.0 |" in page and f"## {title}: Overall" in page
    assert "items in the files 6, items of the benchmark 9000" in page
    assert "Beside the papers" not in page and "mine (here)" not in page


def test_all_items_are_the_benchmark_and_stand_beside_the_papers(pope, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Pope, "size", 6)
    assert main(pope) == 0
    result = result_of(pope)
    assert result["title"] == TITLE and result["columns"] == {"POPE": "Overall"}
    assert not any(name.startswith("items") for name in result["protocol"])
    assert main(["report", str(tmp_path / "mine"), "--out", str(tmp_path / "page")]) == 0
    assert "Beside the papers" in (tmp_path / "page" / "report.md").read_text()
    # a limit takes evenly from all parts and says so
    assert main([*pope, "--limit", "3"]) == 0
    result = result_of(pope)
    assert [item["id"] for item in result["items"]] == ["random/0", "popular/0", "adversarial/0"]
    assert result["scores"]["Overall"] == 100 and not result["complete"]
    assert result["title"] == TITLE and result["columns"] == {}, "no other number of items, but a part all the same"
    line = "3 of 6 items, 1 from each of 3 parts (random, popular, adversarial)"
    assert result["problems"] == {"limited": [line]} and line in capsys.readouterr().err
    assert main([*pope, "--limit", "4"]) == 0
    assert result_of(pope)["problems"]["limited"][0].startswith("4 of 6 items, 1 to 2 from each of 3 parts")


def test_only_what_has_changed_is_scored_anew_and_a_score_has_its_interval(tmp_path, monkeypatch, capsys):
    doubtful = pope_of(tmp_path, 20, lambda number: number % 4)  # 60 questions about 20 pictures, every fourth wrong
    scored, score = [], Pope.score_answers
    monkeypatch.setattr(Pope, "score_answers", lambda *args: scored.append(1) or score(*args))
    assert main(doubtful) == 0 and scored
    path = Path(doubtful[-1]) / RESULT
    before, printed = path.read_bytes(), capsys.readouterr().out
    scored.clear()
    assert main(doubtful) == 0 and not scored
    assert capsys.readouterr().out == printed
    path.write_bytes(before.replace(b"0.", b"1."))
    assert main(doubtful) == 0 and scored
    assert path.read_bytes() == before
    scored.clear()
    assert main([*doubtful, "--limit", "40"]) == 0 and scored
    rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in printed.splitlines()]
    found = {row[0]: row for row in rows if len(row) == 3}
    assert found["score"] == ["score", "value", "95 %"]
    accuracy = next(row for name, row in found.items() if "accuracy" in name)
    reach = float(accuracy[2].removeprefix("± "))
    one_of_20_pictures = 1.96 * (0.75 * 0.25 / 20) ** 0.5  # three questions about each count once
    assert reach * (100 if float(accuracy[1]) <= 1 else 1) == pytest.approx(100 * one_of_20_pictures, rel=0.2)


@pytest.mark.skipif(not PROMPTS.exists(), reason="the benchmarks' prompt files are not here")
def test_the_published_files_hold_the_official_numbers():
    task = GenEval(GenEvalOptions(str(PROMPTS / "geneval.jsonl")))
    assert len(task.prepare()) == task.size
    lines = [(PROMPTS / f"coco_pope_{split}.jsonl").read_text().strip().split("\n") for split in SPLITS]
    assert sum(map(len, lines)) == Pope.size
    assert len(read_json(PROMPTS / "dpg_prompts.json")) == DPGBench.size
    assert all(VQAv2(VQAv2Options(None, split)).size == number for split, number in SIZES.items())
