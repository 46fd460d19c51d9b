"""SEED-Bench's scores and files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from eval.understanding.benchmark import ChoiceOptions
from eval.understanding.seed import TYPES, Seed, read_questions, score

ROW = {
    **{"answer": "B", "choice_a": "One", "choice_b": "Two", "choice_c": "Three", "choice_d": "Four"},
    **{"data_id": "7_8", "data_type": "image", "question": "How many?", "question_id": "1", "question_type_id": 5},
}


def write(folder: Path, *rows: object) -> Path:
    (folder / "SEED-Bench-image").mkdir(exist_ok=True)
    Image.new("RGB", (4, 4)).save(folder / "SEED-Bench-image" / "7_8", format="png")
    path = folder / "SEED-Bench.json"
    path.write_text(json.dumps({"questions": rows, "question_type": {}}))
    return path


def test_accuracy_by_type_and_over_all_questions():
    scores = score([(1, "A", "A"), (1, "B", "A"), (9, "C", "C"), (9, "C", "C")])
    assert scores == {"overall": 75, TYPES[1]: 50, TYPES[9]: 100}


def test_no_letter_is_wrong():
    assert score([(1, "A", None)])["overall"] == 0


def test_nothing_has_no_score():
    assert score([]) == {"overall": None}


def test_videos_are_refused_by_the_scorer():
    with pytest.raises(ValueError, match="type 10"):
        score([(10, "A", "A")])


def test_only_types_1_to_9_are_read(tmp_path):
    rows = [ROW | {"question_id": str(kind), "question_type_id": kind} for kind in range(1, 13)]
    questions = read_questions(write(tmp_path, *rows))
    assert [one.gold["type"] for one in questions] == list(range(1, 10))
    assert questions[0].read_images()[0].size == (4, 4)  # a picture without a suffix
    assert questions[0].text.startswith(
        "How many?\nA. One\nB. Two\nC. Three\nD. Four\n\nAnswer with the option's letter"
    )


def test_answers_are_accounted_for(tmp_path):
    write(tmp_path, *(ROW | {"question_id": str(k)} for k in range(5)))
    task = Seed(ChoiceOptions(str(tmp_path)))
    work = task.prepare().check()
    scored = task.score(work, {}, {"0": "B", "1": "It is two.", "2": "Five", "3": "A"})
    assert scored.scores["overall"] == 40
    assert scored.problems == {"unparseable": ["2"], "missing": ["4"]}
    assert scored.items["3"] == {"said": "A", "label": "B", "correct": False}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW | {"answer": "E"}, "not 'E'"),
        (ROW | {"answer": None}, "has no answer"),
        (ROW | {"choice_c": ""}, "has no choice_c"),
        (ROW | {"question_type_id": 13}, "unknown type 13"),
        (ROW | {"question_type_id": "5"}, "unusable 'question_type_id': '5'"),
        (ROW | {"data_id": "gone"}, "lacks the picture gone"),
        (ROW | {"question_id": "1"}, "holds 1 twice"),
        ("text", "question 2 is no object"),
    ],
)
def test_damaged_rows(tmp_path, row, message):
    with pytest.raises(ValueError, match=message):
        read_questions(write(tmp_path, ROW, row))


def test_damaged_files(tmp_path):
    path = tmp_path / "SEED-Bench.json"
    with pytest.raises(ValueError, match=r"SEED-Bench\.json"):
        Seed(ChoiceOptions(str(tmp_path))).prepare()
    for content, message in (("{", "cannot read"), ("[]", "no list of questions"), ('{"questions": []}', "no list")):
        path.write_text(content)
        with pytest.raises(ValueError, match=message):
            read_questions(path)
    with pytest.raises(ValueError, match="no questions about pictures"):
        read_questions(write(tmp_path, ROW | {"question_type_id": 10}))
