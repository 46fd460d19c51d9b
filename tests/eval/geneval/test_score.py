"""GenEval's rules, one named test each; those of positions are in test_position.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from eval.geneval.score import TAGS, Detection, keep, relations, score_image, summarize

BOX = (0.0, 0.0, 10.0, 10.0)


def dog(score: float = 0.95, color: str | None = None) -> Detection:
    return Detection("dog", score, BOX, color)


def prompt(tag: str, *include: dict, exclude: list[dict] | None = None) -> dict:
    return {"tag": tag, "prompt": "a photo", "include": list(include), **({"exclude": exclude} if exclude else {})}


def want(label: str, count: int = 1, **conditions) -> dict:
    return {"class": label, "count": count, **conditions}


ONE_DOG = prompt("single_object", want("dog"))
TWO_DOGS = prompt("counting", want("dog", 2), exclude=[want("dog", 3)])

# --- which detections count ---


def test_threshold_is_strict():
    assert not score_image([dog(0.3)], ONE_DOG).correct
    assert score_image([dog(0.3001)], ONE_DOG).correct


def test_counting_has_the_higher_threshold_also_strict():
    assert not score_image([dog(0.95), dog(0.9)], TWO_DOGS).correct
    assert score_image([dog(0.95), dog(0.9001)], TWO_DOGS).correct


@pytest.mark.parametrize("tag", [tag for tag in TAGS if tag != "counting"])
def test_every_other_tag_has_the_lower_threshold(tag):
    assert score_image([dog(0.31)], prompt(tag, want("dog"))).correct


def test_doubtful_extra_object_does_not_spoil_counting():
    assert score_image([dog(), dog(), dog(0.85)], TWO_DOGS).correct


def test_at_most_16_a_class_and_the_best_ones():
    scores = [0.40 + i / 100 for i in range(20)]
    kept = keep([dog(s) for s in scores] + [Detection("cat", 0.35, BOX)], "two_object")
    assert [d.score for d in kept["dog"]] == sorted(scores, reverse=True)[:16]
    assert len(kept["cat"]) == 1
    assert not score_image([dog()] * 20, prompt("two_object", want("dog", 17))).correct


def test_best_come_first_whatever_the_order():
    assert [d.score for d in keep([dog(0.5), dog(0.9), dog(0.7)], "colors")["dog"]] == [0.9, 0.7, 0.5]


def test_class_without_kept_detection_is_absent():
    assert keep([dog(0.1)], "colors") == {}


def test_score_that_is_not_a_number_is_dropped():
    assert keep([dog(math.nan)], "colors") == {}


def test_overlapping_boxes_all_count_there_is_no_nms():
    assert score_image([dog(), dog()], TWO_DOGS).correct


# --- include and exclude ---


def test_fewer_than_count_is_wrong():
    verdict = score_image([dog()], TWO_DOGS)
    assert not verdict.correct
    assert verdict.reason == "expected 2 dog, found 1"


def test_correct_has_no_reason():
    assert score_image([dog()], ONE_DOG) == (True, "")


def test_more_than_count_is_right_without_exclude():
    assert score_image([dog()] * 3, ONE_DOG).correct


def test_exclude_fails_from_its_count_on():
    assert score_image([dog()] * 2, TWO_DOGS).correct
    verdict = score_image([dog()] * 3, TWO_DOGS)
    assert not verdict.correct
    assert verdict.reason == "expected fewer than 3 dog, found 3"


def test_exclude_counts_all_kept_not_only_the_judged_ones():
    assert not score_image([dog()] * 6, prompt("two_object", want("dog"), exclude=[want("dog", 5)])).correct


def test_exclude_may_name_another_class():
    no_cat = prompt("single_object", want("dog"), exclude=[want("cat", 1)])
    assert score_image([dog()], no_cat).correct
    assert not score_image([dog(), Detection("cat", 0.31, BOX)], no_cat).correct
    assert score_image([dog(), Detection("cat", 0.30, BOX)], no_cat).correct


def test_other_classes_do_not_matter():
    assert score_image([dog(), Detection("cat", 0.99, BOX)], ONE_DOG).correct
    assert not score_image([Detection("cat", 0.99, BOX)], ONE_DOG).correct


def test_every_include_must_hold_and_each_failure_is_named():
    verdict = score_image([], prompt("two_object", want("dog"), want("cat")))
    assert verdict.reason == "expected 1 dog, found 0; expected 1 cat, found 0"
    assert not score_image([dog()], prompt("two_object", want("dog"), want("cat"))).correct


# --- colour ---

RED_DOG = prompt("colors", want("dog", color="red"))


def test_color_of_the_best_object_decides():
    assert score_image([dog(0.9, "red"), dog(0.8, "blue")], RED_DOG).correct
    verdict = score_image([dog(0.8, "red"), dog(0.9, "blue")], RED_DOG)
    assert not verdict.correct
    assert verdict.reason == "expected 1 red dog, found blue"


def test_color_is_needed_count_times():
    two_red = prompt("colors", want("dog", 2, color="red"))
    assert score_image([dog(0.9, "red"), dog(0.8, "red"), dog(0.7, "blue")], two_red).correct
    assert not score_image([dog(0.9, "red"), dog(0.8, "blue"), dog(0.7, "red")], two_red).correct


def test_unknown_color_of_an_object_is_wrong():
    assert not score_image([dog()], RED_DOG).correct


def test_color_is_asked_only_about_judged_objects():
    asked = []

    def color_of(detection: Detection) -> str:
        asked.append((detection.label, detection.score))
        return "red"

    detections = [dog(0.5), dog(0.9), dog(0.7), dog(0.2), Detection("cat", 0.8, BOX), Detection("bus", 0.9, BOX)]
    wanted = prompt("color_attr", want("dog", 2, color="red"), want("cat"), want("bus", 2, color="red"))
    assert not score_image(detections, wanted, color_of).correct
    assert asked == [("dog", 0.9), ("dog", 0.7)]  # too few buses, no colour asked of the cat


def test_color_of_overrides_the_detection():
    assert score_image([dog(color="blue")], RED_DOG, lambda _: "red").correct


def test_two_colors_are_tied_to_their_objects():
    wanted = prompt("color_attr", want("dog", color="red"), want("cat", color="blue"))
    assert score_image([dog(color="red"), Detection("cat", 0.9, BOX, "blue")], wanted).correct
    assert not score_image([dog(color="blue"), Detection("cat", 0.9, BOX, "red")], wanted).correct


# --- prompts that break the format ---


@pytest.mark.parametrize(
    ("bad", "value"),
    [
        (prompt("texture", want("dog")), "'texture'"),
        ({"include": [want("dog")]}, "None"),
        (prompt("colors"), "at least one object"),
        (prompt("colors", {"count": 1, "color": "red"}), "'color': 'red'"),
        (prompt("colors", {"class": "dog"}), "None"),
        (prompt("counting", want("dog", 0)), "not 0"),
        (prompt("counting", want("dog"), exclude=[{"count": 7}]), "'count': 7"),
        (prompt("colors", want("dog", color="mauve")), "'mauve'"),
        (prompt("position", want("dog"), want("cat", position=["left of", 1])), "not 1"),
        (prompt("position", want("dog"), want("cat", position=["left of", -1])), "not -1"),
        (prompt("position", want("dog", position=["left of", 0])), "not 0"),
        (prompt("position", want("dog"), want("cat", position=["near", 0])), "'near'"),
        (prompt("position", want("dog"), want("cat", position=["left of"])), r"\['left of'\]"),
    ],
)
def test_bad_prompt_is_named(bad, value):
    with pytest.raises(ValueError, match=value):
        score_image([dog()], bad)


def test_keep_rejects_an_unknown_tag():
    with pytest.raises(ValueError, match="'texture'"):
        keep([], "texture")


# --- the summary ---


def test_overall_is_the_unweighted_mean_of_the_six_tags():
    verdicts = [("single_object", True)] * 90 + [(tag, False) for tag in TAGS[1:]] + [("counting", True)]
    summary = summarize(verdicts)
    assert summary["tags"]["single_object"] == 1.0
    assert summary["tags"]["counting"] == 0.5
    assert summary["overall"] == pytest.approx(1.5 / 6)
    assert summary["image_accuracy"] == pytest.approx(91 / 96)
    assert summary["counts"] == {**dict.fromkeys(TAGS, 1), "single_object": 90, "counting": 2}
    assert summary["missing"] == []


def test_a_missing_tag_leaves_no_overall():
    summary = summarize([(tag, True) for tag in TAGS[:-1]])
    assert summary["overall"] is None
    assert summary["missing"] == ["color_attr"]
    assert summary["tags"]["color_attr"] is None
    assert summary["counts"]["color_attr"] == 0


def test_empty_summary():
    summary = summarize([])
    assert summary["overall"] is None
    assert summary["image_accuracy"] is None
    assert summary["missing"] == list(TAGS)


def test_summary_rejects_an_unknown_tag():
    with pytest.raises(ValueError, match="'compound'"):
        summarize([("compound", True)])


def test_summary_takes_verdicts_and_nothing_else():
    wrong, right = score_image([], ONE_DOG), score_image([dog()], ONE_DOG)
    assert summarize([("colors", wrong), ("colors", right)])["tags"]["colors"] == 0.5
    assert summarize([("colors", np.bool_(False)), ("colors", np.bool_(True))])["tags"]["colors"] == 0.5
    for no_verdict in ("False", math.nan, None):
        with pytest.raises(ValueError, match="a verdict is True, False or a Verdict"):
            summarize([("colors", no_verdict)])


# --- what a library is handed ---


def test_of_equal_scores_the_later_detection_is_judged():
    red_dog = prompt("colors", want("dog", color="red"))
    assert score_image([dog(0.5, "blue"), dog(0.5, "red")], red_dog).correct
    assert not score_image([dog(0.5, "red"), dog(0.5, "blue")], red_dog).correct


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_score_that_is_not_a_number_leaves_the_order(place):
    detections = [dog(0.5), dog(0.9)]
    detections.insert(place, dog(math.nan))
    assert [one.score for one in keep(detections, "colors")["dog"]] == [0.9, 0.5]


@pytest.mark.parametrize("other", [{"label": "dog", "score": 0.9, "box": BOX}, ("dog", 0.9, BOX, None)])
def test_what_is_no_detection_is_refused(other):
    with pytest.raises(ValueError, match="a detection is a Detection"):
        score_image([other], ONE_DOG)


@pytest.mark.parametrize("score", ["0.9", b"0.9", None, [0.9, 0.8], 0.9j])
def test_a_score_of_another_kind_is_refused(score):
    with pytest.raises(ValueError, match="a detection's score is a number"):
        score_image([dog(score)], ONE_DOG)


def test_a_score_may_be_numpys_or_a_tensors():
    for score in (np.float32(0.9), torch.tensor(0.9)):
        assert score_image([dog(score)], ONE_DOG).correct


def test_none_is_as_good_as_absent():
    from_a_table = {"class": "dog", "count": np.int64(1), "color": None, "position": None}
    assert score_image([dog()], {"tag": "colors", "include": [from_a_table], "exclude": None}).correct


def test_indices_may_be_numpys():
    position = prompt("position", want("cat"), want("dog", position=("left of", np.int64(0))))
    assert score_image([Detection("cat", 0.9, (50, 0, 60, 10)), dog()], position).correct


def test_boxes_may_be_numpys_small_integers():
    box = np.array([200, 0, 250, 50], np.uint8)
    assert relations((0, 0, 20, 50), tuple(box)) == {"left of"}


@pytest.mark.parametrize("include", [want("dog"), "dog", ["dog"], [["dog", 1]]])
def test_an_include_of_another_form_is_refused(include):
    with pytest.raises(ValueError, match=r"a prompt must include a list|a condition needs a class"):
        score_image([dog()], {"tag": "colors", "include": include})


def test_a_box_without_four_sides_is_refused():
    with pytest.raises(ValueError, match=r"a box is \(x0, y0, x1, y1\)"):
        relations((0, 0, 1), BOX)
