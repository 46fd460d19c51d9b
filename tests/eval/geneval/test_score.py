"""GenEval's rules, its summary, and the scores of stored records."""

import json
import math

import numpy as np
import pytest
import torch

from eval.geneval.result import from_record, score_samples, to_record
from eval.geneval.score import TAGS, Box, Detection, keep, relations, score_image, summarize

BOX = (0.0, 0.0, 10.0, 10.0)


def at(x: float, y: float, size: float = 10.0) -> Box:
    """A square box around (x, y)."""
    return (x - size / 2, y - size / 2, x + size / 2, y + size / 2)


def dog(score: float = 0.95, color: str | None = None, x: float = 5) -> Detection:
    return Detection("dog", score, at(x, 5), color)


def cat(score: float = 0.95, color: str | None = None, x: float = 5) -> Detection:
    return Detection("cat", score, at(x, 5), color)


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
LEFT = prompt("position", want("dog"), want("cat", position=["left of", 0]))
RED = prompt("position", want("dog", color="red"), want("cat", position=["left of", 0]))
RED_CAT = prompt("position", want("dog"), want("cat", color="red", position=["left of", 0]))
CHAIN = prompt("position", want("dog"), want("cat", position=["left of", 0]), want("bus", position=["left of", 1]))
EARLIER = prompt("position", want("dog"), want("cat"), want("bus", position=["left of", 1]))
PAIRS = prompt("position", want("dog", 2), want("cat", 2, position=["left of", 0]))
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
    "a position is relative to the best objects": (
        (LEFT, [dog(x=80), cat(x=10)], ""),
        (LEFT, [dog(x=10), cat(x=80)], "expected cat left of dog, found right of"),
        (LEFT, [dog(0.9, x=80), dog(0.5, x=0), cat(x=40)], ""),
        (LEFT, [dog(0.4, x=80), dog(0.5, x=0), cat(x=40)], "expected cat left of dog"),
    ),
    "a target must have been found, and have met its colour and its own position": (
        (LEFT, [cat(x=10)], "no target for cat left of"),
        (RED, [dog(color="blue", x=80), cat(x=10)], "no target for cat left of"),
        (CHAIN, [dog(x=50), cat(x=90), cat(x=10)._replace(label="bus")], "no target for bus left of"),
        (EARLIER, [dog(x=0), cat(x=90), cat(x=50)._replace(label="bus")], ""),  # it may be any earlier include
    ),
    "every pair must hold the relation": (
        (PAIRS, [dog(x=80), dog(x=70), cat(x=10), cat(x=40)], ""),
        (PAIRS, [dog(x=80), dog(x=25), cat(x=10), cat(x=40)], "expected cat left of dog"),
    ),
    "either relation of a diagonal is right": tuple(
        (prompt("position", want("dog"), want("cat", position=[name, 0])),
         [Detection("dog", 0.9, at(50, 50)), Detection("cat", 0.9, at(20, 20))], reason)
        for name, reason in (("left of", ""), ("above", ""), ("right of", "found"), ("below", "found"))
    ),
    "a position does not save a colour": ((RED_CAT, [dog(x=80), cat(0.9, "blue", x=10)], "1 red cat, found blue"),),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_rules(rule):
    for wanted, detections, reason in RULES[rule]:
        verdict = score_image(detections, wanted)
        assert verdict.correct == (not reason) == (not verdict.reason), verdict
        assert reason in verdict.reason


def test_the_best_16_are_kept_in_order_and_no_score_that_is_no_number():
    scores = [0.40 + i / 100 for i in range(20)]
    kept = keep([*(dog(score) for score in scores), cat(0.35), Detection("bus", 0.1, BOX)], "two_object")
    assert [one.score for one in kept["dog"]] == sorted(scores, reverse=True)[:16]
    assert len(kept["cat"]) == 1 and "bus" not in kept
    for place in range(3):
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
        (prompt("colors"), "at least one object"),
        (prompt("colors", {"count": 1, "color": "red"}), "'color': 'red'"),
        (prompt("counting", want("dog", 0)), "not 0"),
        (prompt("counting", want("dog"), exclude=[{"count": 7}]), "'count': 7"),
        (prompt("colors", want("dog", color="mauve")), "'mauve'"),
        *((prompt("position", want("dog"), want("cat", position=["left of", of])), f"not {of}") for of in (1, -1)),
        (prompt("position", want("dog"), want("cat", position=["near", 0])), "'near'"),
        (prompt("position", want("dog"), want("cat", position=["left of"])), r"\['left of'\]"),
        *(({"tag": "colors", "include": include}, r"a prompt must include a list|a condition needs a class")
          for include in (want("dog"), "dog", ["dog"])),
    ],
)  # fmt: skip
def test_bad_prompts_are_named(bad, message):
    with pytest.raises(ValueError, match=message):
        score_image([dog()], bad)


def test_what_is_no_detection_box_or_verdict_is_refused():
    for call, message in (
        (lambda: keep([], "texture"), "'texture'"),
        (lambda: summarize([("compound", True)]), "'compound'"),
        (lambda: summarize([("colors", "False")]), "a verdict is True, False or a Verdict"),
        (lambda: relations((0, 0, 1), BOX), r"a box is \(x0, y0, x1, y1\)"),
        (lambda: score_image([tuple(dog())], ONE_DOG), "a detection is a Detection"),
        *((lambda score=score: score_image([dog(score)], ONE_DOG), "score is a number") for score in ("0.9", None, 9j)),
    ):
        with pytest.raises(ValueError, match=message):
            call()


# --- positions ---


def test_relations():
    """Of the first to the second, y down."""
    center = at(50, 50)
    for a, b, found in (
        *((at(x, 50), center, {name}) for x, name in ((20, "left of"), (80, "right of"))),
        *((at(50, y), center, {name}) for y, name in ((20, "above"), (80, "below"))),
        (at(80, 20), center, {"right of", "above"}),
        (center, center, set()),
        # the offset shrinks by a tenth of the summed sizes, 2
        (at(2.0, 0), at(0, 0), set()),
        (at(3.9, 0), at(0, 0), set()),  # 1.9 / 3.9 < 0.5
        (at(4.1, 0), at(0, 0), {"right of"}),  # 2.1 / 4.1 > 0.5
        *((at(4.0 * dx, 4.0 * dy), at(0, 0), set()) for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1))),  # 2 / 4
        # each axis by its own sizes: offset (10, 10), reduced (0, 9.6)
        ((-40.0, 9.0, 60.0, 11.0), (-50.0, -1.0, 50.0, 1.0), {"below"}),
        # the direction is normalised by the unreduced offset: 20 / |(30, 30)| = 0.47, where 20 / |(20, 20)| = 0.71
        (at(30, 30, 50), at(0, 0, 50), set()),
        # below a thousandth there is no relation
        (at(9e-4, 0, 0), at(0, 0, 0), set()),
        (at(2e-3, 0, 0), at(0, 0, 0), {"right of"}),
        ((0, 0, 20, 50), tuple(np.array([200, 0, 250, 50], np.uint8)), {"left of"}),  # NumPy's small integers
    ):
        assert relations(a, b) == found, (a, b)


# --- the summary and stored records ---


def test_overall_is_the_unweighted_mean_of_the_six_tags():
    verdicts = [("single_object", True)] * 90 + [(tag, False) for tag in TAGS[1:]] + [("counting", np.bool_(True))]
    summary = summarize(verdicts)
    assert summary["tags"]["single_object"] == 1.0 and summary["tags"]["counting"] == 0.5
    assert summary["overall"] == pytest.approx(1.5 / 6)
    assert summary["image_accuracy"] == pytest.approx(91 / 96)
    assert summary["counts"] == {**dict.fromkeys(TAGS, 1), "single_object": 90, "counting": 2}
    assert summary["missing"] == []
    summary = summarize([(tag, True) for tag in TAGS[:-1]])
    assert summary["overall"] is None and summary["missing"] == ["color_attr"]
    assert summary["tags"]["color_attr"] is None and summary["counts"]["color_attr"] == 0
    assert summarize([])["image_accuracy"] is None and summarize([])["missing"] == list(TAGS)


RECORD = to_record([dog(0.95, "red")])


def test_records_survive_json_and_others_are_refused():
    found = [dog(0.95, "red"), dog()]
    assert from_record(json.loads(json.dumps(to_record(found)))) == found
    for record in ({}, {"detections": [{}]}, {"detections": [{**dog()._asdict(), "box": [1]}]}):
        with pytest.raises(ValueError, match="no record of detections"):
            from_record(record)


def test_scores_of_records():
    prompts = {f"{i:05}/0": ONE_DOG | {"tag": tag} for i, tag in enumerate((*TAGS, *TAGS[:1] * 4))}
    records = {name: RECORD if one["tag"] == TAGS[0] else to_record([]) for name, one in prompts.items()}
    scored = score_samples(prompts, records)
    assert scored.headline == "overall" and scored.problems == {}
    assert scored.scores["overall"] == pytest.approx(1 / 6) and scored.scores["image accuracy"] == 0.5
    assert scored.scores["single_object"] == 1.0 and scored.scores["position"] == 0.0
    # of any and of all pictures of a prompt; a picture without a record is wrong and named
    prompts = {f"{i:05}/{k}": RED_DOG for i in range(4) for k in range(4)}
    right = {f"00000/{k}" for k in range(4)} | {"00001/2"}
    records = {name: RECORD if name in right else to_record([dog(color="blue")]) for name in prompts}
    del records["00003/3"]
    scored = score_samples(prompts, records)
    assert scored.scores["prompt accuracy, any picture"] == 0.5
    assert scored.scores["prompt accuracy, all pictures"] == 0.25
    assert scored.scores["overall"] is None and scored.scores["colors"] == 5 / 16
    assert scored.problems["missing"] == ["00003/3"] and len(scored.problems["tags without pictures"]) == 5
    assert scored.items["00003/3"]["reason"] == "no picture was judged"
    scored = score_samples(prompts, {}, "GPT-4o")  # other columns
    assert scored.headline == "overall (GPT-4o prompts)"
    assert "overall" not in scored.scores and "colors (GPT-4o prompts)" in scored.scores
