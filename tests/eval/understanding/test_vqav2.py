"""VQAv2: the official script's rules, its files, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.task import Question
from eval.understanding.accuracy import percent_by_group, soft_accuracy
from eval.understanding.vqav2 import VQAv2, VQAv2Options, score, score_answer


def annotators(**given: int) -> list[str]:
    return [text for text, times in given.items() for _ in range(times)]


@pytest.mark.parametrize(("agreeing", "accuracy"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)])
def test_soft_accuracy_is_a_mean_over_leave_one_out(agreeing, accuracy):
    """Not min(1, agreeing / 3): the annotator that is left out does not count for himself."""
    answers = ["yes"] * agreeing + ["no"] * (10 - agreeing)
    assert soft_accuracy("yes", answers) == pytest.approx(accuracy)


def test_fewer_annotators_are_a_mean_over_those():
    assert soft_accuracy("yes", ["yes", "yes", "no"]) == pytest.approx((1 / 3 + 1 / 3 + 2 / 3) / 3)
    with pytest.raises(ValueError, match="no annotator"):
        soft_accuracy("yes", [])


def test_a_text_is_no_list_of_annotators():
    for text in ("xxxx", ""):
        for score_one in (score_answer, soft_accuracy):
            with pytest.raises(ValueError, match="a list of texts, not the text"):
                score_one("x", text)
    assert score_answer("yes", np.array(["yes"] * 9 + ["no"])) == score_answer("yes", ["yes"] * 9 + ["no"])


def test_answers_are_not_normalised_where_all_annotators_agree():
    unanimous = annotators(yes=10)
    assert score_answer("yes", unanimous).score == 1
    assert score_answer("Yes", unanimous).score == 0
    assert score_answer("yes.", unanimous).score == 0


def test_answers_are_normalised_on_both_sides_where_annotators_differ():
    assert score_answer("Yes.", annotators(yes=9, no=1)) == ("yes", 1)
    assert score_answer("2 dogs", ["the two dogs"] * 9 + ["cat"]).score == 1


def test_line_feeds_tabs_and_blanks_go_in_any_case():
    assert score_answer("\n yes\t", annotators(yes=10)).score == 1
    assert score_answer("two men", ["two\tmen\n"] * 10).score == 1


def test_blanks_alone_do_not_make_annotators_differ():
    assert score_answer("Yes", ["yes"] * 5 + ["yes "] * 5).score == 0


def test_case_alone_makes_annotators_differ():
    assert score_answer("YES!", ["yes"] * 5 + ["Yes"] * 5).score == 1


def test_empty_answer_matches_an_answer_of_articles_only():
    assert score_answer("", annotators(yes=9, no=1)).score == 0
    assert score_answer("", ["the"] * 5 + ["dog"] * 5).score == 1


def test_unicode_is_compared_as_it_is():
    assert score_answer("Café", ["café"] * 9 + ["bar"]).score == 1
    assert score_answer("cafe", ["café"] * 9 + ["bar"]).score == 0


def asked(name: str, answers: list[str] | None, kind: str = "other", form: str = "what") -> Question:
    gold = None if answers is None else {"answers": answers, "answer_type": kind, "question_type": form}
    return Question(name, (), "?", gold)


def test_accuracies_are_percentages_by_answer_and_question_type():
    questions = [
        asked("1", annotators(yes=10), "yes/no", "is the"),
        asked("2", annotators(no=10), "yes/no", "is the"),
        asked("3", ["2"] * 1 + ["3"] * 9, "number", "how many"),
    ]
    scored = score(questions, {"1": "yes", "2": "yes", "3": "two"})
    assert scored.headline == "accuracy"
    assert scored.scores == pytest.approx({"accuracy": 100 * 1.3 / 3, "yes/no": 50, "number": 30, "other": None})
    assert scored.details["question types"] == pytest.approx({"how many": 30, "is the": 50})
    assert scored.items["3"] == {"read": "2", "score": pytest.approx(0.3)}
    assert scored.problems == {}


def test_missing_answer_is_wrong_and_named_and_is_no_empty_answer():
    questions = [asked("1", ["the"] * 5 + ["dog"] * 5), asked("2", annotators(yes=10))]
    scored = score(questions, {"2": "yes"})
    assert scored.scores["accuracy"] == 50
    assert scored.problems == {"missing": ["1"]}
    assert scored.items["1"] == {"read": None, "score": 0.0}


def test_other_than_ten_annotators_are_named():
    scored = score([asked("1", annotators(yes=4))], {"1": "yes"})
    assert scored.scores["accuracy"] == 100
    assert scored.problems == {"not ten annotators": ["1"]}


def test_question_without_annotation_takes_no_part_and_is_named():
    scored = score([asked("1", annotators(yes=10)), asked("2", None)], {"1": "yes", "2": "no"})
    assert scored.scores["accuracy"] == 100
    assert scored.problems == {"no annotation": ["2"]}


def test_groups_are_sorted_and_empty_without_values():
    assert list(percent_by_group([("b", 1.0), ("a", 0.0)])) == ["a", "b"]
    assert percent_by_group([]) == {}


# --- files ---


def write(folder: Path, questions: list[dict], annotations: list[dict] | None, split: str = "val2014") -> Path:
    path = folder / f"v2_OpenEnded_mscoco_{split}_questions.json"
    path.write_text(json.dumps({"questions": questions}))
    if annotations is not None:
        (folder / f"v2_mscoco_{split}_annotations.json").write_text(json.dumps({"annotations": annotations}))
    images = "test2015" if split.startswith("test") else split
    (folder / images).mkdir(exist_ok=True)
    for image in {row["image_id"] for row in questions if "image_id" in row}:
        Image.new("RGB", (4, 4)).save(folder / images / f"COCO_{images}_{image:012d}.jpg")
    return folder


ASKED = [
    {"question_id": 420, "image_id": 42, "question": "What is it?"},
    {"question_id": 421, "image_id": 42, "question": "Is it red?"},
]
ANNOTATED = [
    {"question_id": 421, "answer_type": "yes/no", "question_type": "is it", "answers": [{"answer": "yes"}] * 10},
    {"question_id": 420, "answer_type": "other", "question_type": "what is", "answers": [{"answer": "cat"}] * 10},
]


def prepare(folder: Path, split: str = "val"):
    return VQAv2(VQAv2Options(data=str(folder), split=split)).prepare()


def test_files_are_read_and_joined_by_id(tmp_path):
    work = prepare(write(tmp_path, ASKED, ANNOTATED)).check()
    first, second = work.questions
    assert (first.id, second.id) == ("420", "421")
    assert first.text == "What is it?\nAnswer the question using a single word or phrase."
    assert first.images == (tmp_path / "val2014" / "COCO_val2014_000000000042.jpg",)
    assert first.gold == {"answers": ["cat"] * 10, "answer_type": "other", "question_type": "what is"}
    assert work.protocol["split"] == "val2014"


def test_test_split_has_no_score_but_a_file_to_submit(tmp_path):
    task = VQAv2(VQAv2Options(data=str(write(tmp_path, ASKED, None, "test-dev2015")), split="test-dev"))
    work = task.prepare()
    scored = task.score(work, {}, {"420": "two cats — é"})
    assert scored.scores == {"test accuracy": None}
    assert "submit" in scored.problems["not scored"][0] and scored.problems["missing"] == ["421"]
    [path] = task.export(tmp_path, work, {"420": "two cats — é"})
    assert path.name == "v2_OpenEnded_mscoco_test-dev2015_janusflow_results.json"
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert rows == [{"question_id": 420, "answer": "two cats — é"}, {"question_id": 421, "answer": ""}]


@pytest.mark.parametrize(
    ("questions", "annotations", "message"),
    [
        ([ASKED[0], ASKED[0]], ANNOTATED, "holds 420 twice"),
        (ASKED, [*ANNOTATED, ANNOTATED[0]], "holds 421 twice"),
        (ASKED, ANNOTATED[:1], "question 420 stands in only one"),
        (ASKED[:1], ANNOTATED, "question 421 stands in only one"),
        (ASKED, None, "holds no v2_mscoco_val2014_annotations.json"),
        ([{"question_id": 1, "image_id": 2}], ANNOTATED, "question 0 has no 'question'"),
        ([{**ASKED[0], "question_id": "x"}], ANNOTATED, "unusable 'question_id': 'x'"),
        (ASKED, [{**ANNOTATED[0], "answers": []}], "has no answers"),
        ([], ANNOTATED, "holds no list of records"),
        (["x"], ANNOTATED, "is no object: 'x'"),
    ],
)
def test_damaged_files_are_refused(tmp_path, questions, annotations, message):
    write(tmp_path, [row for row in questions if isinstance(row, dict)], annotations)
    (tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json").write_text(json.dumps({"questions": questions}))
    with pytest.raises(ValueError, match=message):
        prepare(tmp_path)


def test_missing_files_images_and_splits_are_named(tmp_path):
    with pytest.raises(ValueError, match="holds no v2_OpenEnded_mscoco_val2014_questions"):
        prepare(tmp_path)
    with pytest.raises(ValueError, match="no split 'train'"):
        prepare(tmp_path, "train")
    write(tmp_path, ASKED, ANNOTATED)
    (tmp_path / "val2014" / "COCO_val2014_000000000042.jpg").unlink()
    with pytest.raises(ValueError, match=r"1 of 1 images are missing, such as .*000042\.jpg"):
        prepare(tmp_path)
    (tmp_path / "val2014").rmdir()
    with pytest.raises(ValueError, match="holds no folder val2014 or"):
        prepare(tmp_path)


def test_without_data_it_says_where_they_are_had():
    with pytest.raises(ValueError, match=r"vqav2 needs --data: .*visualqa.org"):
        VQAv2(VQAv2Options()).prepare()
