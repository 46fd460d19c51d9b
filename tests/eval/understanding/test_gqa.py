"""GQA: exact match, and its files."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from eval.task import Question
from eval.understanding.benchmark import UnderstandingOptions
from eval.understanding.gqa import FILE, GQA, is_right, score


@pytest.mark.parametrize("text", ["yes", "Yes", " yes\n", "Yes.", "yes..", "YES. ", "Yes ."])
def test_blanks_case_and_periods_at_the_end_do_not_count(text):
    assert is_right(text, "yes")


@pytest.mark.parametrize("text", ["", "yes!", "the yes", "yes, it is", "ye.s", ".yes", "one"])
def test_everything_else_counts(text):
    assert not is_right(text, "yes")


def test_number_words_and_articles_are_not_forgiven():
    assert not is_right("2", "two")
    assert not is_right("a dog", "dog")


def asked(name: str, answer: str, structural: str, semantic: str) -> Question:
    return Question(name, (), "?", {"answer": answer, "structural": structural, "semantic": semantic})


def test_accuracies_by_type_and_missing_answers():
    questions = [
        asked("1", "yes", "verify", "attr"),
        asked("2", "dog", "query", "attr"),
        asked("3", "cat", "query", "rel"),
        asked("4", "left", "choose", "rel"),
    ]
    scored = score(questions, {"1": "Yes.", "2": "dog", "3": "dog"})
    assert scored.scores == {
        "accuracy": 50,
        "structural choose": 0,
        "structural query": 50,
        "structural verify": 100,
        "semantic attr": 100,
        "semantic rel": 0,
    }
    assert scored.problems == {"missing": ["4"]}
    assert scored.items["4"] == {"read": None, "score": 0.0}


ROW = {"imageId": "n1", "question": "Is it red?", "answer": "no", "types": {"structural": "verify", "semantic": "attr"}}


def prepare(folder, table):
    (folder / FILE).write_text(json.dumps(table))
    (folder / "images").mkdir(exist_ok=True)
    Image.new("RGB", (4, 4)).save(folder / "images" / "n1.jpg")
    return GQA(UnderstandingOptions(str(folder))).prepare()


def test_files_are_read(tmp_path):
    [question] = prepare(tmp_path, {"2": ROW}).check().questions
    assert question == Question(
        "2",
        (tmp_path / "images" / "n1.jpg",),
        "Is it red?\nAnswer the question using a single word or phrase.",
        {"answer": "no", "structural": "verify", "semantic": "attr"},
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "holds no object of records"),
        ([ROW], "holds no object of records"),
        ({"2": {**ROW, "types": {}}}, "question 2, types has no 'structural'"),
        ({"2": {key: ROW[key] for key in ROW if key != "answer"}}, "question 2 has no 'answer'"),
        ({"2": {**ROW, "imageId": "gone"}}, "gone.jpg"),
    ],
)
def test_damaged_files_are_refused(tmp_path, table, message):
    with pytest.raises(ValueError, match=message):
        prepare(tmp_path, table)
