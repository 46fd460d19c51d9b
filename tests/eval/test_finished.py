"""A finished ``python -m eval run`` prints its result without scoring it again, and with intervals."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from eval.__main__ import main
from eval.result import RESULT
from eval.understanding.pope import SPLITS, Pope

PICTURES = 20


@pytest.fixture
def command(tmp_path):
    """POPE's three questions about each of some pictures, with answers of which every fourth is wrong."""
    folder = tmp_path / "val2014"
    folder.mkdir()
    answers = {}
    for number in range(PICTURES):
        Image.new("RGB", (4, 4)).save(folder / f"COCO_val2014_{number:012d}.jpg")
    for split in SPLITS:
        rows = [
            {
                "question_id": number,
                "image": f"COCO_val2014_{number:012d}.jpg",
                "text": "Is there a dog in the image?",
                "label": ("yes", "no")[number % 2],
            }
            for number in range(PICTURES)
        ]
        (tmp_path / f"coco_pope_{split}.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
        for row in rows:
            answers[f"{split}/{row['question_id']}"] = (
                "Yes" if row["label"] == "yes" or row["question_id"] % 4 else "No"
            )
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    return ["run", "pope", "--data", str(tmp_path), "--answers", str(tmp_path / "answers.json"), "--out"]


@pytest.fixture
def scored(monkeypatch):
    """A list that grows with every score that is computed."""
    found, score = [], Pope.score_answers
    monkeypatch.setattr(Pope, "score_answers", lambda *args: found.append(1) or score(*args))
    return found


def test_only_what_has_changed_is_scored_anew(command, tmp_path, scored, capsys):
    out = tmp_path / "out"
    assert main([*command, str(out)]) == 0 and scored
    before, printed = (out / RESULT).read_bytes(), capsys.readouterr().out
    scored.clear()
    assert main([*command, str(out)]) == 0 and not scored
    assert capsys.readouterr().out == printed
    (out / RESULT).write_bytes(before.replace(b"0.", b"1."))
    assert main([*command, str(out)]) == 0 and scored
    assert (out / RESULT).read_bytes() == before
    scored.clear()
    assert main([*command, str(out), "--limit", "40"]) == 0 and scored


def test_a_score_is_printed_with_its_interval(command, tmp_path, capsys):
    assert main([*command, str(tmp_path / "out")]) == 0
    rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    found = {row[0]: row for row in rows if len(row) == 3}
    assert found["score"] == ["score", "value", "95 %"]
    accuracy = next(row for name, row in found.items() if "accuracy" in name)
    reach = float(accuracy[2].removeprefix("± "))
    one_of_20_pictures = 1.96 * (0.75 * 0.25 / PICTURES) ** 0.5  # three questions about each count once
    assert reach * (100 if float(accuracy[1]) <= 1 else 1) == pytest.approx(100 * one_of_20_pictures, rel=0.2)
