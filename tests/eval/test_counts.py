"""A benchmark's files with another number of items than it officially has: the result says so, on every page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from eval.__main__ import main
from eval.dpg_bench.task import DPGBench
from eval.files import read_json
from eval.geneval.task import GenEval, GenEvalOptions
from eval.result import read_result
from eval.understanding.pope import SPLITS, Pope
from eval.understanding.vqav2 import SIZES, VQAv2, VQAv2Options
from tests.conftest import SHARED

PROMPTS = SHARED / "data" / "prompts"
TITLE = "POPE (F1 over all rows)"


@pytest.fixture
def pope(tmp_path) -> list[str]:
    """The command that scores six answers to six questions of POPE, two a split."""
    data = tmp_path / "pope"
    data.mkdir()
    Image.new("RGB", (4, 4)).save(data / "photo.jpg")
    answers = []
    for split in SPLITS:
        rows = [
            {"question_id": number, "image": "photo.jpg", "text": "Is there a dog?", "label": label}
            for number, label in enumerate(("yes", "no"))
        ]
        (data / f"coco_pope_{split}.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
        answers += [{"id": f"{split}/{row['question_id']}", "answer": row["label"]} for row in rows]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(one) + "\n" for one in answers))
    out = tmp_path / "mine" / "pope"
    return ["run", "pope", "--data", str(data), "--answers", str(tmp_path / "answers.jsonl"), "--out", str(out)]


def result_of(command: list[str]) -> dict:
    return read_result(Path(command[command.index("--out") + 1]) / "result.json")


def test_a_part_in_the_files_is_named_and_leaves_the_papers_columns(pope, capsys):
    assert main(pope) == 0
    result = result_of(pope)
    assert result["complete"] and result["scores"]["Overall"] == 100
    assert result["title"] == f"{TITLE}, 6 of 9000 items" and result["columns"] == {}
    assert {name: count for name, count in result["protocol"].items() if name.startswith("items")} == {
        "items in the files": 6,
        "items of the benchmark": 9000,
    }
    assert f"{TITLE}, 6 of 9000 items\n" in capsys.readouterr().out


def test_all_items_are_the_benchmark(pope, monkeypatch):
    monkeypatch.setattr(Pope, "size", 6)
    assert main(pope) == 0
    result = result_of(pope)
    assert result["title"] == TITLE and result["columns"] == {"POPE": "Overall"}
    assert not any(name.startswith("items") for name in result["protocol"])


def test_more_items_than_the_benchmark_has_are_not_it_either(pope, monkeypatch):
    monkeypatch.setattr(Pope, "size", 5)
    assert main(pope) == 0
    assert result_of(pope)["title"] == f"{TITLE}, 6 of 5 items" and result_of(pope)["columns"] == {}


def test_a_limit_is_no_other_number_of_items(pope, monkeypatch):
    monkeypatch.setattr(Pope, "size", 6)
    assert main([*pope, "--limit", "2"]) == 0
    result = result_of(pope)
    assert result["title"] == TITLE and "limited" in result["problems"]
    assert result["columns"] == {}, "a part all the same"


def test_a_limit_takes_evenly_from_all_parts_and_says_so(pope, capsys):
    assert main([*pope, "--limit", "3"]) == 0
    result = result_of(pope)
    assert [item["id"] for item in result["items"]] == ["random/0", "popular/0", "adversarial/0"]
    assert result["scores"]["Overall"] == 100 and not result["complete"]
    line = "3 of 6 items, 1 from each of 3 parts (random, popular, adversarial)"
    assert result["problems"] == {"limited": [line]} and line in capsys.readouterr().err
    assert main([*pope, "--limit", "4"]) == 0
    assert result_of(pope)["problems"]["limited"][0].startswith("4 of 6 items, 1 to 2 from each of 3 parts")


def test_the_page_shows_a_part_by_its_count_and_not_beside_the_papers(pope, tmp_path, monkeypatch):
    main(pope)
    report = ["report", str(tmp_path / "mine"), "--out", str(tmp_path / "page")]
    assert main(report) == 0
    page = (tmp_path / "page" / "report.md").read_text()
    assert f"| {TITLE}, 6 of 9000 items: Overall | 100.0 |" in page and f"## {TITLE}, 6 of 9000 items: Overall" in page
    assert "items in the files 6, items of the benchmark 9000" in page
    assert "Beside the papers" not in page and "mine (here)" not in page

    monkeypatch.setattr(Pope, "size", 6)
    main(pope)
    assert main(report) == 0
    assert "Beside the papers" in (tmp_path / "page" / "report.md").read_text()


@pytest.mark.parametrize("split", SIZES)
def test_every_split_of_vqav2_has_its_own_number(split):
    assert VQAv2(VQAv2Options(None, split)).size == SIZES[split]


@pytest.mark.skipif(not PROMPTS.exists(), reason="the benchmarks' prompt files are not here")
def test_the_published_files_hold_the_official_numbers():
    task = GenEval(GenEvalOptions(str(PROMPTS / "geneval.jsonl")))
    assert len(task.prepare()) == task.size
    lines = [(PROMPTS / f"coco_pope_{split}.jsonl").read_text().strip().split("\n") for split in SPLITS]
    assert sum(map(len, lines)) == Pope.size
    assert len(read_json(PROMPTS / "dpg_prompts.json")) == DPGBench.size
