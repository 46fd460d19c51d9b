"""MM-Vet: the answers that go to a judge, and the grades that come back."""

from __future__ import annotations

import json
import math

import pytest
from PIL import Image

from eval.task import Question
from eval.understanding.mm_vet import SYSTEM_PROMPT, MMVet, MMVetOptions, is_grade, score

QUESTIONS = [
    Question("v1_0", (), "?", {"answer": "3", "capability": ["math", "ocr"]}),
    Question("v1_1", (), "?", {"answer": "cat", "capability": ["rec"]}),
    Question("v1_2", (), "?", {"answer": "dog", "capability": ["ocr", "math"]}),
]
ANSWERS = {"v1_0": "4", "v1_1": "a cat", "v1_2": "a dog"}


def test_grades_are_averaged_over_questions_and_runs():
    scored = score(QUESTIONS, ANSWERS, {"v1_0": [0.0, 0.2], "v1_1": [1.0, 1.0], "v1_2": [0.5, 0.3]})
    assert scored.headline == "total"
    assert scored.scores == pytest.approx(
        {"total": 50, "rec": 100, "ocr": 25, "know": None, "gen": None, "spat": None, "math": 25}
    )
    assert scored.details["combinations"] == pytest.approx({"ocr_math": 25, "rec": 100})
    assert scored.details["runs"] == pytest.approx([50, 50])
    assert scored.details["standard deviation"] == pytest.approx(0)
    assert scored.items["v1_0"] == {"score": pytest.approx(0.1), "grades": [0.0, 0.2]}
    assert scored.problems == {}


def test_deviation_is_of_the_runs_totals_over_all_runs():
    scored = score(QUESTIONS[:1], ANSWERS, {"v1_0": [0.0, 1.0]})
    assert scored.details["runs"] == [0, 100]
    assert scored.details["standard deviation"] == 50


def test_a_capability_named_twice_counts_once():
    twice = QUESTIONS[1]._replace(gold={"answer": "", "capability": ["rec", "rec"]})
    assert score([twice], ANSWERS, {"v1_1": [0.5]}).details["combinations"] == {"rec": 50}


def test_missing_grades_count_as_zero_and_are_named():
    scored = score(QUESTIONS, ANSWERS, {"v1_0": [1.0, 1.0], "v1_1": [1.0]})
    assert scored.scores["total"] == pytest.approx(50)
    assert scored.problems == {"missing grade": ["v1_1", "v1_2"]}


@pytest.mark.parametrize("grade", [1.5, -0.1, math.nan, math.inf, "0.5", None, True, 10**400])
def test_unusable_grades_count_as_zero_and_are_named(grade):
    assert not is_grade(grade)
    scored = score(QUESTIONS[:2], ANSWERS, {"v1_0": [grade], "v1_1": [1]})
    assert scored.scores["total"] == 50
    assert scored.problems == {"unusable grade": ["v1_0"]}


def test_missing_answer_is_zero_whatever_its_grade():
    scored = score(QUESTIONS[:2], {"v1_0": "4"}, {"v1_0": [1.0], "v1_1": [1.0]})
    assert scored.scores["total"] == 50
    assert scored.problems == {"missing": ["v1_1"]}


def test_grades_of_other_questions_are_named():
    scored = score(QUESTIONS[:1], ANSWERS, {"v1_0": [1.0], "v1_9": [0.0]})
    assert scored.scores["total"] == 100
    assert scored.problems == {"grade of another question": ["v1_9"]}


def test_no_grade_at_all_is_no_score():
    scored = score(QUESTIONS[:1], ANSWERS, {"v1_0": []})
    assert scored.scores["total"] is None
    assert scored.problems == {"missing grade": ["v1_0"]}


def test_without_a_judge_there_is_no_score():
    scored = score(QUESTIONS, ANSWERS, None)
    assert set(scored.scores.values()) == {None}
    assert "judge" in scored.problems["needs a judge"][0]


# --- files ---

ROW = {"imagename": "v1_0.png", "question": "What is x?", "answer": "-1 <AND> -5", "capability": ["ocr", "math"]}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mm-vet" / "images").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "mm-vet" / "images" / "v1_0.png")
    write(tmp_path, {"v1_0": ROW})
    return tmp_path


def write(folder, table):
    (folder / "mm-vet" / "mm-vet.json").write_text(json.dumps(table))


def test_questions_are_asked_as_they_stand_with_a_system_prompt_of_their_own(folder):
    task = MMVet(MMVetOptions(data=str(folder)))
    work = task.prepare().check()
    [question] = work.questions
    assert question.text == "What is x?"
    assert question.gold == {"answer": "-1 <AND> -5", "capability": ["ocr", "math"]}
    assert task.system_prompt == SYSTEM_PROMPT == work.protocol["system prompt"]
    assert task.max_new_tokens > 48


def test_answers_are_written_for_the_judge_and_its_grades_are_read(folder):
    task = MMVet(MMVetOptions(data=str(folder)))
    work = task.prepare()
    [path] = task.export(folder, work, {"v1_0": "x = −1 é"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"v1_0": "x = −1 é"}
    [path] = task.export(folder, work, {})
    assert json.loads(path.read_text(encoding="utf-8")) == {"v1_0": ""}

    graded = folder / "grades.json"
    graded.write_text(json.dumps({"v1_0": {"model": ["gpt-4"], "content": ["0.5"], "score": [0.5]}}))
    task = MMVet(MMVetOptions(data=str(folder), graded=str(graded)))
    scored = task.score(task.prepare(), {}, {"v1_0": "x = -1"})
    assert scored.scores["total"] == 50
    assert scored.details["graded"]["file"] == "grades.json" and len(scored.details["graded"]["sha256"]) == 64


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"v1_0": {"model": []}}', '{"v1_0": [0.5]}'])
def test_damaged_grades_are_refused_before_anything_is_answered(folder, content):
    graded = folder / "grades.json"
    graded.write_text(content)
    with pytest.raises(ValueError, match=r"grades\.json"):
        MMVet(MMVetOptions(graded=str(graded)))


def test_missing_grades_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read .*gone\.json"):
        MMVet(MMVetOptions(graded=str(tmp_path / "gone.json")))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**ROW, "capability": []}, "has no list of capabilities"),
        ({**ROW, "imagename": "gone.png"}, "gone.png"),
        ({key: ROW[key] for key in ROW if key != "question"}, "v1_0 has no 'question'"),
    ],
)
def test_damaged_questions_are_refused(folder, row, message):
    write(folder, {"v1_0": row})
    with pytest.raises(ValueError, match=message):
        MMVet(MMVetOptions(data=str(folder))).prepare()
