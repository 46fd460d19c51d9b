"""GenEval's rule for positions, and what counts as the object that a position refers to."""

from __future__ import annotations

import pytest

from eval.geneval.score import Box, Detection, relations, score_image


def at(x: float, y: float, size: float = 10.0) -> Box:
    """A square box around (x, y)."""
    return (x - size / 2, y - size / 2, x + size / 2, y + size / 2)


def dog(x: float, score: float = 0.95, color: str | None = None) -> Detection:
    return Detection("dog", score, at(x, 50), color)


def cat(x: float, color: str | None = None) -> Detection:
    return Detection("cat", 0.9, at(x, 50), color)


def bus(x: float) -> Detection:
    return Detection("bus", 0.9, at(x, 50))


def prompt(*include: dict) -> dict:
    return {"tag": "position", "prompt": "a photo", "include": list(include)}


def want(label: str, count: int = 1, **conditions) -> dict:
    return {"class": label, "count": count, **conditions}


POINT, WIDE = (0.0, 0.0, 0.0, 0.0), (-50.0, -1.0, 50.0, 1.0)


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        # of the first to the second, y down
        (at(20, 50), at(50, 50), {"left of"}),
        (at(80, 50), at(50, 50), {"right of"}),
        (at(50, 20), at(50, 50), {"above"}),
        (at(50, 80), at(50, 50), {"below"}),
        (at(80, 20), at(50, 50), {"right of", "above"}),
        (at(5, 5), at(5, 5), set()),
        # the offset shrinks by a tenth of the summed sizes, 2
        (at(2.0, 0), at(0, 0), set()),
        (at(3.9, 0), at(0, 0), set()),  # 1.9 / 3.9 < 0.5
        (at(4.1, 0), at(0, 0), {"right of"}),  # 2.1 / 4.1 > 0.5
        *((at(4.0 * dx, 4.0 * dy), at(0, 0), set()) for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1))),  # 2 / 4
        # each axis by its own sizes: offset (10, 10), reduced (0, 9.6)
        ((-40.0, 9.0, 60.0, 11.0), WIDE, {"below"}),
        # the direction is normalised by the unreduced offset: 20 / |(30, 30)| = 0.47, where 20 / |(20, 20)| = 0.71
        (at(30, 30, 50), at(0, 0, 50), set()),
        # below a thousandth there is no relation
        ((9e-4, 0.0, 9e-4, 0.0), POINT, set()),
        ((2e-3, 0.0, 2e-3, 0.0), POINT, {"right of"}),
    ],
)
def test_relations(a, b, found):
    assert relations(a, b) == found


LEFT = prompt(want("dog"), want("cat", position=["left of", 0]))
RED = prompt(want("dog", color="red"), want("cat", position=["left of", 0]))
RED_CAT = prompt(want("dog"), want("cat", color="red", position=["left of", 0]))
CHAIN = prompt(want("dog"), want("cat", position=["left of", 0]), want("bus", position=["left of", 1]))
EARLIER = prompt(want("dog"), want("cat"), want("bus", position=["left of", 1]))
PAIRS = prompt(want("dog", 2), want("cat", 2, position=["left of", 0]))


@pytest.mark.parametrize(
    ("wanted", "detections", "reason"),
    [
        (LEFT, [dog(80), cat(10)], ""),
        (LEFT, [dog(10), cat(80)], "expected cat left of dog, found right of"),
        # only the best objects are judged
        (LEFT, [dog(80, 0.9), dog(0, 0.5), cat(40)], ""),
        (LEFT, [dog(80, 0.4), dog(0, 0.5), cat(40)], "expected cat left of dog"),
        # a target must have been found, and have met its colour and its own position
        (LEFT, [cat(10)], "no target for cat left of"),
        (RED, [dog(80, color="blue"), cat(10)], "no target for cat left of"),
        (CHAIN, [dog(50), cat(90), bus(10)], "no target for bus left of"),
        (EARLIER, [dog(0), cat(90), bus(50)], ""),  # it may be any earlier include
        # every pair must hold the relation
        (PAIRS, [dog(80), dog(70), cat(10), cat(40)], ""),
        (PAIRS, [dog(80), dog(25), cat(10), cat(40)], "expected cat left of dog"),
        (RED_CAT, [dog(80), cat(10, "blue")], "expected 1 red cat, found blue"),  # not saved by its position
    ],
)
def test_positions_in_a_prompt(wanted, detections, reason):
    verdict = score_image(detections, wanted)
    assert verdict.correct == (not reason) and reason in verdict.reason


def test_either_relation_of_a_diagonal_is_right():
    detections = [Detection("dog", 0.9, at(50, 50)), Detection("cat", 0.9, at(20, 20))]
    for name, right in (("left of", True), ("right of", False), ("above", True), ("below", False)):
        wanted = prompt(want("dog"), want("cat", position=[name, 0]))
        assert score_image(detections, wanted).correct == right
