"""MME's reading of answers, its scores, and its files."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from eval.understanding.benchmark import UnderstandingOptions
from eval.understanding.mme import COGNITION, PERCEPTION, SUBTASKS, Mme, Row, parse_yes_no, score, score_subtask

QUESTIONS = "Is it red? Please answer yes or no.\tYes\nIs it blue? Please answer yes or no.\tNo\n"


def write(folder: Path, subtask: str, stem: str = "1", text: str = QUESTIONS, apart: bool = False) -> None:
    pictures, texts = folder / subtask, folder / subtask
    if apart:
        pictures, texts = pictures / "images", texts / "questions_answers_YN"
    pictures.mkdir(parents=True, exist_ok=True)
    texts.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(pictures / f"{stem}.png")
    (texts / f"{stem}.txt").write_text(text)


def mme(folder: Path) -> Mme:
    return Mme(UnderstandingOptions(str(folder)))


def rows(subtask: str, *right: tuple[bool, bool]) -> list[Row]:
    """A picture for each pair."""
    return [Row(subtask, str(image), "yes", "Yes" if one else "No") for image, pair in enumerate(right) for one in pair]


# --- how an answer is read ---


@pytest.mark.parametrize("text", ["Yes", "YES, it is", "yes.", " yes", "eyes", "yes no"])
def test_yes(text):
    assert parse_yes_no(text) == "yes"


@pytest.mark.parametrize("text", ["No", "NO.", "no, yes", "not", "\nNo", "I no", "know"])
def test_no(text):
    assert parse_yes_no(text) == "no"


@pytest.mark.parametrize("text", ["", "It is", "  yes", "The answer is yes", "nay", "Y"])
def test_neither_in_the_first_four_characters(text):
    assert parse_yes_no(text) is None


# --- the scores ---


def test_subtask_is_accuracy_plus_accuracy_plus():
    assert score_subtask({"a": [True, True], "b": [True, False]}) == (75, 50, 125)


def test_accuracy_plus_needs_both_questions_of_a_picture():
    assert score_subtask({"a": [True, False], "b": [False, True]}) == (50, 0, 50)
    assert score_subtask({"a": [True, True]}) == (100, 100, 200)


def test_picture_without_two_questions_is_never_right_in_accuracy_plus():
    assert score_subtask({"a": [True], "b": [True, True], "c": [True] * 3})[1] == pytest.approx(100 / 3)


def test_subtask_without_questions():
    with pytest.raises(ValueError, match="without questions"):
        score_subtask({})


def test_perception_sums_ten_and_cognition_four():
    assert (len(PERCEPTION), len(COGNITION)) == (10, 4)
    everything = [row for subtask in SUBTASKS for row in rows(subtask, (True, True))]
    scores = score(everything)
    assert (scores["perception"], scores["cognition"], scores["OCR"]) == (2000, 800, 200)


def test_sums_are_none_where_a_subtask_is_missing():
    scores = score([row for subtask in PERCEPTION for row in rows(subtask, (True, False))])
    assert scores["perception"] == 500
    assert scores["cognition"] is None
    assert score(rows("color", (True, True)))["perception"] is None


def test_pictures_of_one_name_in_two_subtasks_are_two_pictures():
    scores = score(rows("color", (True, True)) + rows("count", (False, False)))
    assert (scores["color"], scores["count"]) == (200, 0)


@pytest.mark.parametrize("answer", [None, "It is red", ""])
def test_missing_and_other_answers_are_wrong_for_both_labels(answer):
    both = [Row("color", "1", "yes", answer), Row("color", "1", "no", answer)]
    assert score(both)["color"] == 0


def test_unknown_subtask_or_label():
    with pytest.raises(ValueError, match="'colour'"):
        score([Row("colour", "1", "yes", "yes")])
    with pytest.raises(ValueError, match="'Yes'"):
        score([Row("color", "1", "Yes", "yes")])


# --- the files ---


def test_both_layouts_are_read(tmp_path):
    write(tmp_path, "color")
    write(tmp_path, "artwork", "9", apart=True)
    work = mme(tmp_path).prepare().check()
    assert [one.id for one in work.questions] == ["color/1/1", "color/1/2", "artwork/9/1", "artwork/9/2"]
    first = work.questions[0]
    assert first.gold == {"subtask": "color", "image": "1", "label": "yes"}
    assert first.read_images()[0].size == (4, 4)


def test_request_for_yes_or_no_stays_in_the_prompt(tmp_path):
    write(tmp_path, "color")
    expected = "Is it red? Please answer yes or no.\nAnswer the question using a single word or phrase."
    assert mme(tmp_path).read(tmp_path)[0].text == expected


def test_subtasks_are_found_below_the_unpacked_folder(tmp_path):
    inner = tmp_path / "MME_Benchmark_release_version" / "MME_Benchmark"
    for subtask in SUBTASKS:
        write(inner, subtask)
    (tmp_path / "eval_tool" / "color").mkdir(parents=True)
    assert len(mme(tmp_path).read(tmp_path)) == 28


def test_everything_odd_is_named(tmp_path):
    for subtask in SUBTASKS[1:]:
        write(tmp_path, subtask)
    write(tmp_path, "color", "2", "One? Please answer yes or no.\tNo\n")
    task = mme(tmp_path)
    work = task.prepare()
    answers = {one.id: one.gold["label"] for one in work.questions} | {"count/1/1": "Two"}
    del answers["OCR/1/2"]
    scored = task.score(work, {}, answers)
    assert scored.problems == {
        "unparseable": ["count/1/1"],
        "missing": ["OCR/1/2"],
        "not two questions about a picture": ["color/2"],
        "missing subtask": ["existence"],
    }
    assert scored.scores["perception"] is None
    assert scored.scores["cognition"] == 800
    assert (scored.scores["count"], scored.scores["OCR"], scored.scores["color"]) == (50, 50, 150)
    assert not scored.items["OCR/1/2"]["correct"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Is it red?\n", "line 1 is not a question"),
        ("\nIs it red?\tperhaps\n", "line 2 .*perhaps"),
        ("Is it red?\t\n", "line 1"),
        ("\tYes\n", "line 1"),
        ("\n\n", "holds no questions"),
    ],
)
def test_damaged_lines(tmp_path, text, message):
    write(tmp_path, "color", text=text)
    with pytest.raises(ValueError, match=message):
        mme(tmp_path).read(tmp_path)


def test_windows_line_ends_and_blank_lines_are_read(tmp_path):
    write(tmp_path, "color", text="\ufeffIs it red?\tYes\r\n\r\nIs it blue?\tNo \r\n")
    assert [one.gold["label"] for one in mme(tmp_path).read(tmp_path)] == ["yes", "no"]


def test_missing_picture(tmp_path):
    write(tmp_path, "color")
    (tmp_path / "color" / "1.png").unlink()
    with pytest.raises(ValueError, match=r"1\.txt has no picture"):
        mme(tmp_path).read(tmp_path)


def test_two_pictures_of_one_name(tmp_path):
    write(tmp_path, "color")
    Image.new("RGB", (4, 4)).save(tmp_path / "color" / "1.jpg")
    with pytest.raises(ValueError, match="two pictures called 1"):
        mme(tmp_path).read(tmp_path)


def test_questions_in_both_layouts_at_once(tmp_path):
    write(tmp_path, "color")
    (tmp_path / "color" / "questions_answers_YN").mkdir()
    (tmp_path / "color" / "questions_answers_YN" / "1.txt").write_text(QUESTIONS)
    with pytest.raises(ValueError, match="color/1/1 twice"):
        mme(tmp_path).read(tmp_path)


def test_folder_without_subtasks(tmp_path):
    with pytest.raises(ValueError, match="none of MME's subtasks"):
        mme(tmp_path).read(tmp_path)


def test_subtask_without_questions_in_its_folder(tmp_path):
    (tmp_path / "color").mkdir()
    with pytest.raises(ValueError, match="color holds no questions"):
        mme(tmp_path).read(tmp_path)
