"""MMMU's scores and files."""

from __future__ import annotations

import base64
import builtins
import json
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from eval.__main__ import main
from eval.understanding.benchmark import UnderstandingOptions
from eval.understanding.mmmu import DOMAINS, SUBJECTS, Mmmu, judge, read_file, read_row, score


def png(side: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (side, side)).save(buffer, format="png")
    return buffer.getvalue()


def image(side: int) -> dict:
    return {"bytes": png(side), "path": "x.png"}


CHOICE = {
    **{"id": "validation_Basic_Medical_Science_3", "question": "See <image 2>, <image 1>?", "answer": "B"},
    **{"options": "['it\\'s', \"two\"]", "question_type": "multiple-choice", "image_1": image(4), "image_2": image(5)},
}
OPEN = CHOICE | {
    **{"id": "validation_Chemistry_30", "options": "[]", "question_type": "open", "answer": "['$MgS$', 'MgS']"},
    **{"image_2": None},
}


def mmmu(folder: Path) -> Mmmu:
    return Mmmu(UnderstandingOptions(str(folder)))


def write_lines(folder: Path, *rows: dict, name: str = "validation.jsonl") -> Path:
    """JSON lines, with the pictures as base64."""
    for number, row in enumerate(rows):
        rows[number].update(
            {
                key: "base64:" + base64.b64encode(value["bytes"]).decode()
                for key, value in row.items()
                if key.startswith("image_") and isinstance(value, dict)
            }
        )
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_parquet(folder: Path, subject: str, *rows: dict) -> Path:
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is an extra")
    from pyarrow.parquet import write_table

    path = folder / subject / "validation-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    write_table(arrow.Table.from_pylist(list(rows)), path)
    return path


# --- the scores ---


def test_thirty_subjects_in_six_domains():
    assert (len(SUBJECTS), len(DOMAINS)) == (30, 6)


def test_every_question_counts_the_same():
    scores = score([("Art", True), ("Art", True), ("Music", False), ("Math", False)])
    assert scores == {"overall": 50, "Art and Design": pytest.approx(200 / 3), "Science": 0, "Art": 100, "Math": 0} | {
        "Music": 0
    }


def test_nothing_has_no_score_and_unknown_subjects_are_refused():
    assert score([]) == {"overall": None}
    with pytest.raises(ValueError, match="'Cooking'"):
        score([("Cooking", True)])


def test_judge():
    choice = {"choices": {"A": "x", "B": "y"}, "answer": "B"}
    assert judge(choice, "(B)") == (True, "B")
    assert judge(choice, "A") == (False, "A")
    assert judge(choice, "y") == (False, None)
    assert judge({"choices": {}, "answer": ["MgS"]}, "It is MgS") == (True, None)


# --- rows ---


def test_pictures_stand_in_order_and_their_marks_stay_in_the_text():
    question = read_row(CHOICE, Path(), "row")
    assert [one.size for one in question.read_images()] == [(4, 4), (5, 5)]
    start = "See <image 2>, <image 1>?\nA. it's\nB. two\n\nAnswer with the option's letter"
    assert question.text.startswith(start)
    assert question.gold["subject"] == "Basic_Medical_Science"


def test_open_question_is_asked_directly_and_may_have_several_answers():
    question = read_row(OPEN, Path(), "row")
    assert question.text == "See <image 2>, <image 1>?\nAnswer the question directly."
    assert question.gold == {"subject": "Chemistry", "choices": {}, "answer": ["$MgS$", "MgS"]}


@pytest.mark.parametrize("answer", ["1.06", "[0, 1]", "[0, 1)", "[a"])
def test_open_answer_that_is_no_list_of_texts_is_itself(answer):
    assert read_row(OPEN | {"answer": answer}, Path(), "row").gold["answer"] == [answer]


def test_options_may_be_a_list_and_may_be_empty_texts():
    question = read_row(CHOICE | {"options": ["x", "", "z"]}, Path(), "row")
    assert question.gold["choices"] == {"A": "x", "B": "", "C": "z"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": "validation_Cooking_1"}, "validation_SUBJECT_NUMBER"),
        ({"id": None}, "has no id"),
        ({"question": ""}, "validation_Basic_Medical_Science_3 .*has no question"),
        ({"answer": ""}, "has no answer"),
        ({"answer": "?"}, "'\\?' is none of its options A, B"),
        ({"question_type": "essay"}, "'essay'"),
        ({"options": "[]"}, "options are a list"),
        ({"options": "['a', 'b'"}, "options are a list"),
        ({"options": None}, "options are a list"),
        ({"image_1": None, "image_2": None}, "has no image"),
        ({"image_1": "gone.png"}, r"no image .*gone\.png"),
        ({"image_1": "base64:!"}, "no base64"),
        ({"image_1": 7}, "not int"),
        ({"image_1": "iVBORw0KGgo" * 900}, "an image is a path, or base64: and its content, not '.{40}' …$"),
        ({"question": 5}, "has an unusable 'question'"),
    ],
)
def test_damaged_rows(changes, message):
    with pytest.raises(ValueError, match=message):
        read_row(CHOICE | changes, Path(), "row")


def test_empty_list_of_answers():
    with pytest.raises(ValueError, match="open question's answer"):
        read_row(OPEN | {"answer": "[]"}, Path(), "row")


# --- files ---


def test_parquet_files_of_every_subject(tmp_path):
    write_parquet(tmp_path, "Chemistry", OPEN)
    write_parquet(tmp_path, "Basic_Medical_Science", CHOICE)
    questions = mmmu(tmp_path).prepare().check().questions
    assert [one.id for one in questions] == [CHOICE["id"], OPEN["id"]]
    assert questions[0].read_images()[1].size == (5, 5)


def test_damaged_parquet(tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow is an extra")
    path = tmp_path / "validation-0.parquet"
    path.write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(ValueError, match=r"cannot read .*validation-0\.parquet"):
        mmmu(tmp_path).prepare()


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    (tmp_path / "validation-0.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match=r"pip install janusflow\[parquet\]"):
        mmmu(tmp_path).prepare()


def test_json_lines_with_pictures_inside_and_beside(tmp_path):
    (tmp_path / "two.png").write_bytes(png(6))
    path = write_lines(tmp_path, dict(CHOICE), OPEN | {"image_2": "two.png"})
    first, second = read_file(path)
    assert [one.size for one in first.read_images()] == [(4, 4), (5, 5)]
    assert second.images[1] == tmp_path / "two.png"


def test_other_splits_are_not_read(tmp_path):
    write_lines(tmp_path, dict(CHOICE), name="dev.jsonl")
    with pytest.raises(ValueError, match="no questions of MMMU"):
        mmmu(tmp_path).prepare()


def test_double_ids_over_two_files(tmp_path):
    write_lines(tmp_path, dict(CHOICE), name="validation-0.jsonl")
    write_lines(tmp_path, dict(CHOICE), name="validation-1.jsonl")
    with pytest.raises(ValueError, match="validation_Basic_Medical_Science_3 twice"):
        mmmu(tmp_path).prepare()


def test_answers_are_accounted_for(tmp_path):
    rows = [CHOICE | {"id": f"validation_{subject}_1"} for subject in list(SUBJECTS)[:-1]]
    write_lines(tmp_path, *rows, dict(OPEN))
    task = mmmu(tmp_path)
    work = task.prepare().check()
    answers = {one.id: "B" for one in work.questions} | {"validation_Art_1": "two", OPEN["id"]: "mgs"}
    del answers["validation_Math_1"]
    scored = task.score(work, {}, answers)
    assert scored.problems == {
        "unparseable": ["validation_Art_1"],
        "missing": ["validation_Math_1"],
        "missing subject": ["Mechanical_Engineering"],
    }
    assert scored.scores["overall"] == pytest.approx(100 * 28 / 30)
    assert scored.scores["guesses (of multiple choice)"] == pytest.approx(100 / 29)
    assert scored.items[OPEN["id"]]["correct"]
    assert not scored.items["validation_Math_1"]["correct"]


def test_subjects_beyond_a_limit_are_no_fault(tmp_path):
    write_lines(tmp_path, dict(CHOICE), OPEN | {"image_2": None})
    (tmp_path / "answers.json").write_text(json.dumps({CHOICE["id"]: "B", OPEN["id"]: "mgs"}))
    command = ["run", "mmmu", "--data", str(tmp_path), "--answers", str(tmp_path / "answers.json")]
    assert main([*command, "--limit", "1", "--out", str(tmp_path / "out")]) == 0
    assert main([*command, "--out", str(tmp_path / "all")]) == 1, "most subjects are missing"
