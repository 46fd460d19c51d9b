"""ChartQA: what is a number, what is near enough, and its files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from eval.task import Question
from eval.understanding.benchmark import UnderstandingOptions
from eval.understanding.chartqa import ChartQA, is_right, read_number, score


@pytest.mark.parametrize(
    ("text", "number"),
    [("5", 5), ("-2.5", -2.5), ("1e3", 1000), (" 7 ", 7), (".5", 0.5), ("12%", 0.12), ("-3%", -0.03), ("5 %", 0.05)],
)
def test_numbers(text, number):
    assert read_number(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "%", "1,000", "$5", "1/2", "5 percent", "five", "5 million", "1.2.3", "0x10"])
def test_not_numbers(text):
    assert read_number(text) is None


@pytest.mark.parametrize("prediction", ["95", "105", "100", "100.0", "1e2", "\n 97"])
def test_five_percent_of_the_gold_number_are_forgiven(prediction):
    assert is_right(prediction, "100")


@pytest.mark.parametrize("prediction", ["94.9", "105.1", "-100", "nan", "inf", "-inf", "", "100 people"])
def test_more_is_not(prediction):
    assert not is_right(prediction, "100")


def test_tolerance_is_of_the_gold_number_not_of_the_prediction():
    assert not is_right("105.2", "100")
    assert abs(105.2 - 100) / 105.2 < 0.05
    assert is_right("95", "100")
    assert abs(95 - 100) / 95 > 0.05


def test_negative_gold_numbers():
    assert is_right("-9.6", "-10")
    assert not is_right("9.6", "-10")


def test_percent_is_a_hundredth():
    assert is_right("0.12", "12%")
    assert is_right("12%", "0.12")
    assert not is_right("12", "12%")
    assert not is_right("12%", "12")


def test_gold_zero_needs_the_same_text():
    assert is_right("0", "0")
    assert not is_right("0.0", "0")
    assert not is_right("0.01", "0")
    assert not is_right("0%", "0")
    assert is_right("0%", "0%")


def test_texts_are_equal_but_for_case():
    assert is_right("yes", "Yes")
    assert is_right(" YES\n", "Yes")
    assert is_right("1,000", "1,000")
    assert is_right("1/2", "1/2")
    assert is_right("$5", "$5")
    assert is_right("[Italy, Spain]", "[italy, spain]")
    assert not is_right("1000", "1,000")
    assert not is_right("5", "$5")
    assert not is_right("0.5", "1/2")
    assert not is_right("yes.", "Yes")
    assert not is_right("", "Yes")
    assert is_right("Côte d'Ivoire", "côte d'ivoire")


def test_gold_that_is_not_finite_is_met_by_nothing():
    assert not is_right("nan", "nan")
    assert not is_right("inf", "inf")


def test_a_label_that_is_a_number_is_its_text():
    assert is_right("14", 14) and is_right("14.5", np.float32(14)) and not is_right("0.0", 0)
    for label in (None, True, ["14"]):
        with pytest.raises(ValueError, match="a right answer is a text or a number"):
            is_right("None", label)


def test_a_year_may_be_off_by_a_century():
    """The known weakness of the metric, kept."""
    assert is_right("1919", "2019")


def asked(name: str, label: str, part: str) -> Question:
    return Question(name, (), "?", {"label": label, "part": part})


def test_overall_and_both_halves_and_missing_answers():
    questions = [asked("h", "10", "human"), asked("a", "Yes", "augmented"), asked("b", "3", "augmented")]
    scored = score(questions, {"h": "12", "a": "yes"})
    assert scored.scores == {"accuracy": pytest.approx(100 / 3), "human": 0, "augmented": 50}
    assert scored.problems == {"missing": ["b"]}
    assert score(questions[:1], {"h": "10"}).scores == {"accuracy": 100, "human": 100, "augmented": None}


def prepare(folder, human, augmented):
    test = folder / "ChartQA Dataset" / "test"
    (test / "png").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(test / "png" / "1.png")
    (test / "test_human.json").write_text(json.dumps(human))
    if augmented is not None:
        (test / "test_augmented.json").write_text(json.dumps(augmented))
    return ChartQA(UnderstandingOptions(str(folder))).prepare()


ROW = {"imgname": "1.png", "query": "How many?", "label": "3"}


def test_files_are_read_and_ids_are_their_places(tmp_path):
    work = prepare(tmp_path, [ROW, ROW], [{**ROW, "label": 14}]).check()
    assert [question.id for question in work.questions] == ["human/0", "human/1", "augmented/0"]
    assert work.questions[2].gold == {"label": "14", "part": "augmented"}
    assert work.questions[0].text == "How many?\nAnswer the question using a single word or phrase."
    assert work.questions[0].images[0].is_file()


@pytest.mark.parametrize(
    ("human", "augmented", "message"),
    [
        ([ROW], None, "holds no test_augmented.json"),
        ([], [ROW], "holds no list of records"),
        ([{**ROW, "label": None}], [ROW], "question 0 has an unusable 'label'"),
        ([{**ROW, "imgname": "2.png"}], [ROW], "2.png"),
    ],
)
def test_damaged_files_are_refused(tmp_path, human, augmented, message):
    with pytest.raises(ValueError, match=message):
        prepare(tmp_path, human, augmented)
