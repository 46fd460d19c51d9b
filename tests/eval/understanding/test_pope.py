"""POPE's reading of answers, its rates, and its files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.understanding.pope import SPLITS, Pope, PopeOptions, parse_yes_no, read_split, score, summarize

REAL = Path(__file__).parents[3] / "../shared/data/prompts"
IMAGE = "COCO_val2014_000000000001.jpg"
ROW = {"question_id": 1, "image": IMAGE, "text": "Is there a dog in the image?", "label": "yes"}


def write(folder: Path, split: str, *rows: dict, suffix: str = "json") -> Path:
    path = folder / f"coco_pope_{split}.{suffix}"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def pope(folder: Path, images_root: str | None = None) -> Pope:
    return Pope(PopeOptions(str(folder), images_root))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "val2014").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "val2014" / IMAGE)
    for split in SPLITS:
        write(tmp_path, split, ROW, ROW | {"question_id": 2, "label": "no"})
    return tmp_path


# --- how an answer is read ---


@pytest.mark.parametrize("text", ["No", "no", "There is not a dog", "No, there is none", "it is no dog", "no,", ", no"])
def test_no_not_and_no_in_lower_case_are_no(text):
    assert parse_yes_no(text) == "no"


@pytest.mark.parametrize(
    "text", ["Yes", "yes", "", "perhaps", "NO", "NOT", "nothing", "none", "There isn't", "Not one"]
)
def test_everything_else_is_yes(text):
    assert parse_yes_no(text) == "yes"


def test_only_the_text_up_to_the_first_full_stop_counts():
    assert parse_yes_no("Yes. There is no doubt") == "yes"
    assert parse_yes_no("No. Yes") == "no"
    assert parse_yes_no(".No") == "yes"


def test_commas_are_dropped_and_join_what_they_part():
    assert parse_yes_no("No,there") == "yes"
    assert parse_yes_no("n,o") == "no"


def test_words_are_parted_by_single_spaces_only():
    assert parse_yes_no("Well\nno") == "yes"
    assert parse_yes_no("\tNo") == "yes"
    assert parse_yes_no("Well  no") == "no"
    assert parse_yes_no("no!") == "yes"


# --- the rates ---


def test_rates():
    labels = ["yes"] * 4 + ["no"] * 4
    answers = ["Yes"] * 3 + ["No"] + ["Yes"] + ["No"] * 3
    assert score(labels, answers) == pytest.approx((75, 75, 75, 75, 50))


def test_f1_differs_from_accuracy():
    rates = score(["yes", "yes", "no"], ["Yes", "No", "No"])
    assert rates == pytest.approx((200 / 3, 100, 50, 200 / 3, 100 / 3))


def test_yes_ratio_is_of_the_predictions():
    assert score(["no", "no", "no", "yes"], ["yes"] * 4).yes_ratio == 100


def test_missing_answer_is_wrong_and_stays_out_of_the_yes_ratio():
    rates = score(["yes", "no", "yes", "no"], ["Yes", "No", None, None])
    assert rates.accuracy == 50
    assert rates.precision == 100
    assert rates.recall == 50
    assert rates.yes_ratio == 50


def test_never_yes_is_zero_not_an_error():
    assert score(["yes", "no"], ["No", "No"]) == (50, 0, 0, 0, 0)


def test_nothing_answered_and_nothing_asked():
    assert score(["yes"], [None]) == (0, 0, 0, 0, None)
    assert score([], []) == (None,) * 5


def test_unequal_lengths_and_unknown_labels():
    with pytest.raises(ValueError, match="2 labels"):
        score(["yes", "no"], ["yes"])
    with pytest.raises(ValueError, match="'Yes'"):
        score(["Yes"], ["yes"])


def test_numpys_arrays_are_labels_and_answers():
    labels, answers = ["yes", "no", "yes"], ["Yes", "No", None]
    assert score(np.array(labels), np.array(answers, object)) == score(labels, answers)
    assert score(np.array([]), np.array([])) == score([], [])


def test_mean_f1_and_f1_over_all_rows_are_different_numbers():
    rows = [("random", "yes", "Yes")] * 3 + [("popular", "yes", "Yes"), ("popular", "no", "Yes")]
    rows += [("adversarial", "yes", "No"), ("adversarial", "yes", "Yes")]
    scores = summarize(rows)
    assert scores["random f1"] == 100
    assert scores["mean F1"] == pytest.approx((100 + 200 / 3 + 200 / 3) / 3)
    assert scores["Overall"] == pytest.approx(100 * 10 / 12)  # 2 TP / (2 TP + FP + FN), with 5, 1 and 1


def test_missing_split_leaves_no_overall():
    scores = summarize([("random", "yes", "Yes")])
    assert scores["Overall"] is None
    assert scores["mean F1"] is None
    assert scores["random accuracy"] == 100
    assert "popular f1" not in scores


# --- the files ---


def test_ids_are_unique_over_the_splits_and_random_comes_first(folder):
    work = pope(folder).prepare().check()
    assert [one.id for one in work.questions] == [f"{split}/{k}" for split in SPLITS for k in (1, 2)]
    first = work.questions[0]
    assert first.text == "Is there a dog in the image?\nAnswer the question using a single word or phrase."
    assert first.read_images()[0].size == (4, 4)


def test_request_for_yes_or_no_is_left_out_of_the_prompt(tmp_path):
    path = write(tmp_path, "random", ROW | {"text": "Is there a dog? Please answer yes or no."})
    assert read_split(path, "random")[0].text.startswith("Is there a dog?\nAnswer the question")


def test_missing_split_is_named(folder):
    (folder / "coco_pope_popular.json").unlink()
    task = pope(folder)
    work = task.prepare()
    scored = task.score(work, {}, {one.id: "Yes" for one in work.questions})
    assert scored.problems == {"missing split": ["popular"]}
    assert scored.scores["Overall"] is None


def test_every_answer_is_accounted_for(folder):
    task = pope(folder)
    work = task.prepare()
    answers = {one.id: one.gold["label"] for one in work.questions} | {"random/2": " "}
    del answers["popular/1"]
    scored = task.score(work, {}, answers)
    assert scored.problems == {"missing": ["popular/1"], "unparseable": ["random/2"]}
    assert scored.items["popular/1"] == {"said": None, "label": "yes", "correct": False}
    assert scored.items["random/2"]["said"] == "yes"
    assert scored.scores["Overall"] == pytest.approx(100 * 4 / 6)


def test_json_lines_may_be_called_so(tmp_path):
    assert read_split(write(tmp_path, "random", ROW, suffix="jsonl"), "random")[0].id == "random/1"


def test_images_may_lie_elsewhere(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("questions")
    write(other, "random", ROW)
    assert pope(other, str(folder)).read(other)[0].images == (folder / "val2014" / IMAGE,)
    with pytest.raises(ValueError, match="--images-root"):
        pope(other).read(other)


def test_missing_image_is_named(folder):
    write(folder, "popular", ROW, ROW | {"question_id": 2, "image": "gone.jpg"})
    with pytest.raises(ValueError, match=r"lacks 1 .*gone\.jpg"):
        pope(folder).read(folder)


def test_split_that_is_there_twice(folder):
    write(folder, "random", ROW, suffix="jsonl")
    with pytest.raises(ValueError, match="the split random twice"):
        pope(folder).read(folder)


def test_folder_without_questions(tmp_path):
    with pytest.raises(ValueError, match="coco_pope_random"):
        pope(tmp_path).read(tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROW, ROW], "random/1 twice"),
        ([{**ROW, "label": "maybe"}], "'maybe'"),
        ([{key: value for key, value in ROW.items() if key != "label"}], "question 1 has no label"),
        ([{**ROW, "text": " "}], "has no text"),
        ([[1]], "is no object"),
        ([], "holds no questions"),
    ],
)
def test_damaged_questions(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        read_split(write(tmp_path, "random", *rows), "random")


@pytest.mark.skipif(not REAL.exists(), reason=f"no POPE files at {REAL}")
def test_the_real_files():
    rows = []
    for split in SPLITS:
        questions = read_split(REAL / f"coco_pope_{split}.jsonl", split)
        assert len(questions) == 3000
        assert len({one.images[0] for one in questions}) == 500
        assert [one.gold["label"] for one in questions].count("yes") == 1500
        rows += [(split, one.gold["label"], one.gold["label"].capitalize()) for one in questions]
    scores = summarize(rows)
    assert scores["Overall"] == scores["mean F1"] == 100
    always = summarize([(split, label, "Yes") for split, label, _ in rows])
    assert always["Overall"] == pytest.approx(200 / 3)
