"""MMBench: circular scoring, rotations, and the table's cells."""

from __future__ import annotations

import base64
import csv
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from eval.understanding.benchmark import ChoiceOptions
from eval.understanding.mmbench import STEP, MMBench, Row, read_questions, rotate, score
from eval.understanding.tables import read_tsv


def picture(side: int = 4) -> str:
    buffer = BytesIO()
    Image.effect_noise((side, side), 50).convert("RGB").save(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()


IMAGE = picture()
ROW = {
    **{"index": "5", "question": "What is it?", "hint": "", "A": "a cat", "B": "a dog", "C": "a cow", "D": ""},
    **{"answer": "B", "category": "animals", "l2-category": "nature", "image": IMAGE},
}


def circle(index: int = 5, **changes: str) -> list[dict[str, str]]:
    """The three rows of a question with rotations, whose pictures are references."""
    rows = []
    for k in range(3):
        options, label = rotate({letter: ROW[letter] for letter in "ABC"}, "B", k)
        cells = {"index": str(index + k * STEP), "answer": label, "image": ROW["image"] if k == 0 else str(index)}
        rows.append(ROW | options | cells | changes)
    return rows


def write(folder: Path, *rows: dict[str, str], name: str = "MMBench_DEV_EN.tsv") -> Path:
    path = folder / name
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def mmbench(folder: Path) -> MMBench:
    return MMBench(ChoiceOptions(str(folder)))


def asked(index: int, *said: str | None, label: str = "A", rotations: int | None = None, groups=()) -> list[Row]:
    total = len(said) if rotations is None else rotations
    return [Row(index, k, total, label, one, groups) for k, one in enumerate(said)]


# --- the scores ---


def test_right_only_if_every_rotation_is():
    scores = score(asked(1, "A", "A", "A", "A") + asked(2, "A", "A", "A", "B"))
    assert scores == {"circular": 50, "first pass": 100}


def test_first_pass_alone_is_reported():
    assert score(asked(1, "B", "A") + asked(2, "A", "B"))["first pass"] == 50


def test_no_letter_is_wrong():
    assert score(asked(1, "A", None)) == {"circular": 0, "first pass": 100}


def test_every_question_counts_once_whatever_its_rotations():
    assert score(asked(1, "A", "A", "A", "A") + asked(2, "B", "B"))["circular"] == 50


def test_question_of_which_a_rotation_is_missing_is_wrong():
    assert score(asked(1, "A", "A", rotations=3)) == {"circular": 0, "first pass": 100}
    late = [row for row in asked(1, "A", "A") if row.rotation]
    assert score(late) == {"circular": 0, "first pass": 0}


def test_categories_are_circular():
    rows = asked(1, "A", "B", groups=("category: x", "l2-category: y")) + asked(2, "A", "A", groups=("category: x",))
    assert score(rows) == {"circular": 50, "first pass": 100, "category: x": 50, "l2-category: y": 0}


def test_rotation_that_occurs_twice():
    with pytest.raises(ValueError, match="rotation 0 of question 1"):
        score(asked(1, "A") * 2)


def test_nothing_has_no_score():
    assert score([]) == {"circular": None, "first pass": None}


# --- rotations ---


def test_rotation_moves_options_and_answer_together():
    options = {"A": "cat", "B": "dog", "C": "cow"}
    assert rotate(options, "B", 0) == (options, "B")
    for k in range(1, 7):
        moved, label = rotate(options, "B", k)
        assert list(moved) == ["A", "B", "C"]
        assert moved[label] == "dog"
    assert {rotate(options, "B", k)[1] for k in range(3)} == {"A", "B", "C"}


def test_first_pass_alone_gets_its_rotations():
    questions = read_questions([ROW, ROW | {"index": "6", "D": "a fox"}], "file")
    assert [one.id for one in questions] == ["5", "1000005", "2000005", "6", "1000006", "2000006", "3000006"]
    assert [one.gold["answer"] for one in questions[:3]] == ["B", "C", "A"]
    assert all(f"{one.gold['answer']}. a dog\n" in one.text for one in questions)
    assert all(one.images == questions[0].images for one in questions)
    assert {one.gold["rotations"] for one in questions[:3]} == {3}


def test_rotations_of_the_file_are_taken_as_they_are():
    questions = read_questions(circle(), "file")
    assert [(one.id, one.gold["answer"]) for one in questions] == [("5", "B"), ("1000005", "C"), ("2000005", "A")]
    assert questions[0].text.startswith("What is it?\nA. a cat\nB. a dog\nC. a cow\n\nAnswer with")


def test_rotations_stand_together_whatever_the_files_order():
    rows = [row for pair in zip(circle(5), circle(6), strict=True) for row in pair]
    ids = [one.id for one in read_questions(rows[::-1], "file")]
    assert sorted(ids[:3]) in (["1000005", "2000005", "5"], ["1000006", "2000006", "6"])
    assert [int(one) // STEP for one in ids] == [0, 1, 2, 0, 1, 2]


def test_rotation_without_its_first_pass():
    with pytest.raises(ValueError, match="row 1000005 is a rotation of row 5"):
        read_questions([ROW | {"index": "6"}, *circle()[1:]], "file")


# --- cells ---


def test_quotes_tabs_and_line_breaks_in_cells(tmp_path):
    question = 'What does "this"\nsay?\tAnd why?'
    path = write(tmp_path, ROW | {"question": question, "A": '"quoted"'})
    assert read_tsv(path)[0]["question"] == question
    text = mmbench(tmp_path).read(tmp_path)[0].text
    assert text.startswith(f'{question}\nA. "quoted"\nB. a dog')


def test_pictures_above_the_csv_modules_limit(tmp_path):
    large = picture(300)
    assert len(large) > csv.field_size_limit()
    before = csv.field_size_limit()
    questions = mmbench(write(tmp_path, ROW | {"image": large}).parent).read(tmp_path)
    assert questions[0].read_images()[0].size == (300, 300)
    assert csv.field_size_limit() == before


def test_hint_stands_in_front():
    assert read_questions([ROW | {"hint": "Look."}], "file")[0].text.startswith("Hint: Look.\nWhat is it?\nA. ")
    assert read_questions([ROW | {"hint": " "}], "file")[0].text.startswith("What is it?\nA. ")


def test_options_called_none_or_na_are_options():
    options = read_questions([ROW | {"A": "None", "C": "N/A"}], "file")[0].text
    assert "A. None\nB. a dog\nC. N/A\n" in options


def test_empty_options_are_left_out():
    text = read_questions([ROW | {"C": "", "D": "a fox"}], "file")[0].text
    assert "A. a cat\nB. a dog\nD. a fox\n\n" in text


def test_reference_to_a_reference_and_to_a_later_row():
    rows = [ROW | {"image": "6"}, ROW | {"index": "6", "image": "7"}, ROW | {"index": "7"}]
    assert len({one.images for one in read_questions(rows, "file")}) == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no questions"),
        ([ROW, ROW], "holds 5 twice"),
        ([ROW, ROW | {"index": "05"}], "holds 5 twice"),
        ([ROW | {"index": "five"}], "'five'"),
        ([ROW | {"index": ""}], "has no index"),
        ([ROW | {"answer": ""}], "row 5 of file has no answer"),
        ([ROW | {"answer": "D"}], "'D' is none of its options A, B, C"),
        ([ROW | {"question": ""}], "has no question"),
        ([ROW | {"A": "", "C": ""}], "has 1 options"),
        ([ROW | {"image": ""}], "has no image"),
        ([ROW | {"image": IMAGE[:-2] + "!!"}], "row 5 of file is no base64"),
        ([ROW | {"image": IMAGE[:-3]}], "row 5 of file is no base64"),
        ([ROW | {"image": "8"}], "points at row 8"),
        ([ROW | {"image": "5"}], "points at row 5"),
    ],
)
def test_damaged_rows(rows, message):
    with pytest.raises(ValueError, match=message):
        read_questions(rows, "file")


def test_damaged_picture_is_named_when_it_is_looked_at():
    cell = base64.b64encode(b"no picture at all, only some bytes of text that are long enough").decode()
    question = read_questions([ROW | {"image": cell}], "file")[0]
    with pytest.raises(ValueError, match="5 is not an image"):
        question.read_images()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no column names"),
        ("a\ta\n", "one twice"),
        ("a\tb\n1\n", "line 2 has 1 cells for 2 columns"),
        ('a\tb\n1\t"open\n2\t3\n', "cannot read"),
    ],
)
def test_damaged_tables(tmp_path, content, message):
    path = tmp_path / "table.tsv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_tsv(path)


def test_table_that_is_not_text(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_bytes(b"a\tb\n\xff\t1\n")
    with pytest.raises(ValueError, match=r"cannot read .*table\.tsv"):
        read_tsv(path)


def test_folder_without_a_table(tmp_path):
    with pytest.raises(ValueError, match=r"MMBench_DEV_EN\.tsv"):
        mmbench(tmp_path).prepare()


# --- the task ---


def test_answers_are_accounted_for(tmp_path):
    write(tmp_path, *circle(5), *circle(6))
    task = mmbench(tmp_path)
    work = task.prepare().check()
    assert work.protocol["file"] == "MMBench_DEV_EN.tsv"
    assert work.protocol["rotations"] == "the file's"
    answers = {one.id: one.gold["answer"] for one in work.questions}
    assert task.score(work, {}, answers).scores["circular"] == 100
    answers["1000006"] = "a horse"
    del answers["2000006"]
    scored = task.score(work, {}, answers)
    assert scored.problems == {"unparseable": ["1000006"], "missing": ["2000006"]}
    assert scored.scores == {"circular": 50, "first pass": 100, "category: animals": 50, "l2-category: nature": 50}


def test_always_the_same_letter_scores_nothing(tmp_path):
    write(tmp_path, ROW)
    task = mmbench(tmp_path)
    work = task.prepare()
    assert work.protocol["rotations"] == "made here"
    assert task.score(work, {}, {one.id: "B" for one in work.questions}).scores["circular"] == 0


def test_question_cut_by_a_limit_is_wrong_and_named(tmp_path):
    write(tmp_path, *circle(5), *circle(6))
    task = mmbench(tmp_path)
    work = task.prepare(limit=4)
    scored = task.score(work, {}, {one.id: one.gold["answer"] for one in work.questions})
    assert scored.problems == {"not every rotation was asked": ["6"]}
    assert scored.scores["circular"] == 50


def test_file_with_fewer_rotations_than_options_is_scored_and_named(tmp_path):
    write(tmp_path, *circle(5), *circle(6)[:2])
    task = mmbench(tmp_path)
    work = task.prepare()
    scored = task.score(work, {}, {one.id: one.gold["answer"] for one in work.questions})
    assert scored.problems == {"fewer rotations in the file than options": ["6"]}
    assert scored.scores["circular"] == 100
