"""TextVQA: the normaliser on both sides, always; its files."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from eval.__main__ import main
from eval.task import Question
from eval.understanding.benchmark import UnderstandingOptions
from eval.understanding.textvqa import FILE, TextVQA, score, score_answer


def test_both_sides_are_normalised_even_where_all_annotators_agree():
    assert score_answer("Joe's.", ["JOE'S"] * 10) == 1
    assert score_answer("two", ["2"] * 10) == 1
    assert score_answer("joes", ["joe's"] * 10) == 0


def test_soft_accuracy_leaves_each_annotator_out():
    assert score_answer("coke", ["Coke."] * 3 + ["pepsi"] * 7) == pytest.approx(0.9)
    assert score_answer("fanta", ["coke"] * 10) == 0


def test_a_text_is_no_list_of_annotators():
    with pytest.raises(ValueError, match="a list of texts, not the text 'xxxx'"):
        score_answer("x", "xxxx")


def test_empty_answer_is_wrong_unless_somebody_gave_it():
    assert score_answer("", ["coke"] * 10) == 0
    assert score_answer("the", [""] * 10) == 1


def test_missing_answers_and_annotators_are_named():
    questions = [Question("1", (), "?", ["a b"] * 10), Question("2", (), "?", ["x"] * 9)]
    scored = score(questions, {"2": "X"})
    assert scored.scores == {"accuracy": 50}
    assert scored.problems == {"missing": ["1"], "not ten annotators": ["2"]}
    assert scored.items == {"1": {"read": None, "score": 0.0}, "2": {"read": "x", "score": 1.0}}


ROW = {"question_id": 7, "image_id": "0ab", "question": "what brand?", "answers": ["coke"] * 10, "ocr_tokens": ["COKE"]}


def prepare(folder, rows):
    (folder / FILE).write_text(json.dumps({"dataset_type": "val", "data": rows}))
    (folder / "train_images").mkdir(exist_ok=True)
    Image.new("RGB", (4, 4)).save(folder / "train_images" / "0ab.jpg")
    return TextVQA(UnderstandingOptions(str(folder))).prepare()


def test_files_are_read_and_the_prompt_has_no_ocr_tokens(tmp_path):
    [question] = prepare(tmp_path, [ROW]).check().questions
    assert question.id == "7" and question.gold == ["coke"] * 10
    assert question.text == "what brand?\nAnswer the question using a single word or phrase."
    assert question.images == (tmp_path / "train_images" / "0ab.jpg",)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROW, ROW], "holds 7 twice"),
        ([{**ROW, "answers": []}], r"\(question 7\) has no list of answers"),
        ([{**ROW, "answers": [1] * 10}], r"\(question 7\) has no list of answers"),
        ([{key: ROW[key] for key in ROW if key != "answers"}], "has no 'answers'"),
        ([{**ROW, "image_id": "gone"}], "gone.jpg"),
    ],
)
def test_damaged_files_are_refused(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        prepare(tmp_path, rows)


@pytest.mark.parametrize(("annotators", "code"), [(10, 0), (3, 1)])
def test_a_limit_does_not_hide_what_is_wrong(tmp_path, annotators, code):
    prepare(tmp_path, [{**ROW, "answers": ["coke"] * annotators}, {**ROW, "question_id": 8}])
    (tmp_path / "answers.json").write_text('{"7": "coke", "8": "coke"}')
    files = ["--data", str(tmp_path), "--answers", str(tmp_path / "answers.json")]
    assert main(["run", "textvqa", *files, "--limit", "1", "--out", str(tmp_path / "out")]) == code
