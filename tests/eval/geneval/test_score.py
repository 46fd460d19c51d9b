"""GenEval's rules; those of positions are in test_position.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from eval.geneval.score import TAGS, Detection, keep, relations, score_image, summarize

BOX = (0.0, 0.0, 10.0, 10.0)


def dog(score: float = 0.95, color: str | None = None) -> Detection:
    return Detection("dog", score, BOX, color)


def cat(score: float = 0.95, color: str | None = None) -> Detection:
    return Detection("cat", score, BOX, color)


def prompt(tag: str, *include: dict, exclude: list[dict] | None = None) -> dict:
    return {"tag": tag, "prompt": "a photo", "include": list(include), **({"exclude": exclude} if exclude else {})}


def want(label: str, count: int = 1, **conditions) -> dict:
    return {"class": label, "count": count, **conditions}


ONE_DOG = prompt("single_object", want("dog"))
TWO_DOGS = prompt("counting", want("dog", 2), exclude=[want("dog", 3)])
DOG_AND_CAT = prompt("two_object", want("dog"), want("cat"))
NO_CAT = prompt("single_object", want("dog"), exclude=[want("cat", 1)])
RED_DOG = prompt("colors", want("dog", color="red"))
TWO_RED = prompt("colors", want("dog", 2, color="red"))
RED_AND_BLUE = prompt("color_attr", want("dog", color="red"), want("cat", color="blue"))
RULES = {  # what each rule says of detections: "" where they meet the prompt, else what the reason says
    "threshold is strict": (
        (ONE_DOG, [dog(0.3)], "expected 1 dog, found 0"), (ONE_DOG, [dog(0.3001)], ""),
    ),
    "counting has the higher threshold, also strict": (
        (TWO_DOGS, [dog(), dog(0.9)], "expected 2 dog, found 1"), (TWO_DOGS, [dog(), dog(0.9001)], ""),
    ),
    "every other tag has the lower one": (
        *((prompt(tag, want("dog")), [dog(0.31)], "") for tag in TAGS if tag != "counting"),
    ),
    "a doubtful extra object does not spoil counting": ((TWO_DOGS, [dog(), dog(), dog(0.85)], ""),),
    "overlapping boxes all count, there is no NMS": ((TWO_DOGS, [dog(), dog()], ""),),
    "at most 16 a class": ((prompt("two_object", want("dog", 17)), [dog()] * 20, "found 16"),),
    "more than count is right without exclude": ((ONE_DOG, [dog()] * 3, ""),),
    "exclude fails from its count on": ((TWO_DOGS, [dog()] * 3, "expected fewer than 3 dog, found 3"),),
    "exclude counts all kept, not only the judged ones": (
        (prompt("two_object", want("dog"), exclude=[want("dog", 5)]), [dog()] * 6, "found 6"),
    ),
    "exclude may name another class": (
        (NO_CAT, [dog()], ""), (NO_CAT, [dog(), cat(0.31)], "fewer than 1 cat"), (NO_CAT, [dog(), cat(0.30)], ""),
    ),
    "other classes do not matter": ((ONE_DOG, [dog(), cat(0.99)], ""), (ONE_DOG, [cat(0.99)], "expected 1 dog")),
    "every include must hold and each failure is named": (
        (DOG_AND_CAT, [], "expected 1 dog, found 0; expected 1 cat, found 0"),
        (DOG_AND_CAT, [dog()], "expected 1 cat, found 0"),
    ),
    "the color of the best object decides": (
        (RED_DOG, [dog(0.9, "red"), dog(0.8, "blue")], ""),
        (RED_DOG, [dog(0.8, "red"), dog(0.9, "blue")], "expected 1 red dog, found blue"),
    ),
    "color is needed count times": (
        (TWO_RED, [dog(0.9, "red"), dog(0.8, "red"), dog(0.7, "blue")], ""),
        (TWO_RED, [dog(0.9, "red"), dog(0.8, "blue"), dog(0.7, "red")], "expected 2 red dog"),
    ),
    "unknown color of an object is wrong": ((RED_DOG, [dog()], "expected 1 red dog, found None"),),
    "two colors are tied to their objects": (
        (RED_AND_BLUE, [dog(color="red"), cat(color="blue")], ""),
        (RED_AND_BLUE, [dog(color="blue"), cat(color="red")], "expected 1 red dog, found blue; expected 1 blue cat"),
    ),
    "of equal scores the later detection is judged": (
        (RED_DOG, [dog(0.5, "blue"), dog(0.5, "red")], ""),
        (RED_DOG, [dog(0.5, "red"), dog(0.5, "blue")], "found blue"),
    ),
    "a score may be NumPy's or a tensor's": (
        (ONE_DOG, [dog(np.float32(0.9))], ""), (ONE_DOG, [dog(torch.tensor(0.9))], ""),
    ),
    "None is as good as absent, and counts and indices may be NumPy's": (
        ({"tag": "colors", "include": [want("dog", np.int64(1), color=None, position=None)], "exclude": None},
         [dog()], ""),
        (prompt("position", want("cat"), want("dog", position=("left of", np.int64(0)))),
         [Detection("cat", 0.9, (50, 0, 60, 10)), dog()], ""),
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_rules(rule):
    for wanted, detections, reason in RULES[rule]:
        verdict = score_image(detections, wanted)
        assert verdict.correct == (not reason) == (not verdict.reason), verdict
        assert reason in verdict.reason


def test_the_best_16_are_kept_in_order():
    scores = [0.40 + i / 100 for i in range(20)]
    kept = keep([*(dog(score) for score in scores), cat(0.35), Detection("bus", 0.1, BOX)], "two_object")
    assert [one.score for one in kept["dog"]] == sorted(scores, reverse=True)[:16]
    assert len(kept["cat"]) == 1 and "bus" not in kept


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_score_that_is_not_a_number_is_dropped_and_leaves_the_order(place):
    detections = [dog(0.5), dog(0.9)]
    detections.insert(place, dog(math.nan))
    assert [one.score for one in keep(detections, "colors")["dog"]] == [0.9, 0.5]


def test_color_is_asked_only_about_judged_objects_and_overrides_the_detection():
    asked = []

    def color_of(detection: Detection) -> str:
        asked.append((detection.label, detection.score))
        return "red"

    detections = [dog(0.5), dog(0.9), dog(0.7), dog(0.2), cat(0.8), Detection("bus", 0.9, BOX)]
    wanted = prompt("color_attr", want("dog", 2, color="red"), want("cat"), want("bus", 2, color="red"))
    assert not score_image(detections, wanted, color_of).correct
    assert asked == [("dog", 0.9), ("dog", 0.7)]  # too few buses, no colour asked of the cat
    assert score_image([dog(color="blue")], RED_DOG, lambda _: "red").correct


# --- what a library is handed ---


@pytest.mark.parametrize(
    ("bad", "message"),
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
        *(({"tag": "colors", "include": include}, r"a prompt must include a list|a condition needs a class")
          for include in (want("dog"), "dog", ["dog"], [["dog", 1]])),
    ],
)  # fmt: skip
def test_bad_prompts_are_named(bad, message):
    with pytest.raises(ValueError, match=message):
        score_image([dog()], bad)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: keep([], "texture"), "'texture'"),
        (lambda: summarize([("compound", True)]), "'compound'"),
        (lambda: relations((0, 0, 1), BOX), r"a box is \(x0, y0, x1, y1\)"),
        (lambda: score_image([dog()._asdict()], ONE_DOG), "a detection is a Detection"),
        (lambda: score_image([tuple(dog())], ONE_DOG), "a detection is a Detection"),
        *((lambda score=score: score_image([dog(score)], ONE_DOG), "a detection's score is a number")
          for score in ("0.9", b"0.9", None, [0.9, 0.8], 0.9j)),
        *((lambda one=one: summarize([("colors", one)]), "a verdict is True, False or a Verdict")
          for one in ("False", math.nan, None)),
    ],
)  # fmt: skip
def test_what_is_no_detection_box_or_verdict_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_boxes_may_be_numpys_small_integers():
    box = np.array([200, 0, 250, 50], np.uint8)
    assert relations((0, 0, 20, 50), tuple(box)) == {"left of"}


# --- the summary ---


def test_overall_is_the_unweighted_mean_of_the_six_tags():
    verdicts = [("single_object", True)] * 90 + [(tag, False) for tag in TAGS[1:]] + [("counting", np.bool_(True))]
    summary = summarize(verdicts)
    assert summary["tags"]["single_object"] == 1.0 and summary["tags"]["counting"] == 0.5
    assert summary["overall"] == pytest.approx(1.5 / 6)
    assert summary["image_accuracy"] == pytest.approx(91 / 96)
    assert summary["counts"] == {**dict.fromkeys(TAGS, 1), "single_object": 90, "counting": 2}
    assert summary["missing"] == []
    wrong, right = score_image([], ONE_DOG), score_image([dog()], ONE_DOG)
    assert summarize([("colors", wrong), ("colors", right)])["tags"]["colors"] == 0.5


def test_a_missing_tag_leaves_no_overall():
    summary = summarize([(tag, True) for tag in TAGS[:-1]])
    assert summary["overall"] is None and summary["missing"] == ["color_attr"]
    assert summary["tags"]["color_attr"] is None and summary["counts"]["color_attr"] == 0
    assert summarize([])["image_accuracy"] is None and summarize([])["missing"] == list(TAGS)
