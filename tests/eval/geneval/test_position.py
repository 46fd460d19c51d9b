"""GenEval's rule for positions, and what counts as the object that a position refers to."""

from __future__ import annotations

import pytest

from eval.geneval.score import RELATIONS, Box, Detection, relations, score_image

STEPS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}


def at(x: float, y: float, size: float = 10.0) -> Box:
    """A square box around (x, y)."""
    return (x - size / 2, y - size / 2, x + size / 2, y + size / 2)


def dog(box: Box, score: float = 0.95, color: str | None = None) -> Detection:
    return Detection("dog", score, box, color)


def prompt(*include: dict) -> dict:
    return {"tag": "position", "prompt": "a photo", "include": list(include)}


def want(label: str, count: int = 1, **conditions) -> dict:
    return {"class": label, "count": count, **conditions}


CAT_LEFT_OF_DOG = prompt(want("dog"), want("cat", position=["left of", 0]))


@pytest.mark.parametrize("name", RELATIONS)
def test_relation_is_of_the_first_to_the_second_with_y_down(name):
    dx, dy = STEPS[name]
    assert relations(at(50 + 30 * dx, 50 + 30 * dy), at(50, 50)) == {name}


def test_diagonal_holds_two_relations():
    assert relations(at(80, 20), at(50, 50)) == {"right of", "above"}


def test_offset_shrinks_by_a_tenth_of_the_summed_sizes():
    assert relations(at(2.0, 0), at(0, 0)) == set()  # 0.1 * (10 + 10) = 2
    assert relations(at(3.9, 0), at(0, 0)) == set()  # 1.9 / 3.9 < 0.5
    assert relations(at(4.1, 0), at(0, 0)) == {"right of"}  # 2.1 / 4.1 > 0.5


def test_each_axis_shrinks_by_its_own_size():
    wide = (-50.0, -1.0, 50.0, 1.0)
    assert relations((-40.0, 9.0, 60.0, 11.0), wide) == {"below"}  # offset (10, 10), reduced (0, 9.6)


def test_direction_is_normalised_by_the_unreduced_offset():
    # Offset (30, 30), reduced (20, 20): 20 / |(30, 30)| = 0.47 fails where 20 / |(20, 20)| = 0.71 would pass.
    assert relations(at(30, 30, 50), at(0, 0, 50)) == set()


@pytest.mark.parametrize("name", RELATIONS)
def test_direction_of_exactly_one_half_is_not_enough(name):
    dx, dy = STEPS[name]
    assert relations(at(4.0 * dx, 4.0 * dy), at(0, 0)) == set()  # 2 / 4


def test_same_place_has_no_relation():
    assert relations(at(5, 5), at(5, 5)) == set()


def test_reduced_offset_below_a_thousandth_has_no_relation():
    point = (0.0, 0.0, 0.0, 0.0)
    assert relations((9e-4, 0.0, 9e-4, 0.0), point) == set()
    assert relations((2e-3, 0.0, 2e-3, 0.0), point) == {"right of"}


def test_position_relates_the_later_object_to_the_earlier():
    left, right = at(10, 50), at(80, 50)
    assert score_image([dog(right), Detection("cat", 0.9, left)], CAT_LEFT_OF_DOG).correct
    verdict = score_image([dog(left), Detection("cat", 0.9, right)], CAT_LEFT_OF_DOG)
    assert verdict == (False, "expected cat left of dog, found right of")


def test_either_relation_of_a_diagonal_is_right():
    detections = [dog(at(50, 50)), Detection("cat", 0.9, at(20, 20))]
    for name, right in zip(RELATIONS, (True, False, True, False), strict=True):
        wanted = prompt(want("dog"), want("cat", position=[name, 0]))
        assert score_image(detections, wanted).correct == right


def test_position_judges_only_the_best_objects():
    dogs = [dog(at(80, 50), 0.9), dog(at(0, 50), 0.5)]
    assert score_image([*dogs, Detection("cat", 0.9, at(40, 50))], CAT_LEFT_OF_DOG).correct
    swapped = [dogs[0]._replace(score=0.4), dogs[1]]
    assert not score_image([*swapped, Detection("cat", 0.9, at(40, 50))], CAT_LEFT_OF_DOG).correct


def test_target_must_have_been_found():
    verdict = score_image([Detection("cat", 0.9, at(10, 50))], CAT_LEFT_OF_DOG)
    assert "no target for cat left of" in verdict.reason


def test_target_must_have_matched_its_color_too():
    wanted = prompt(want("dog", color="red"), want("cat", position=["left of", 0]))
    detections = [dog(at(80, 50), color="blue"), Detection("cat", 0.9, at(10, 50))]
    assert "no target for cat left of" in score_image(detections, wanted).reason


def test_target_that_failed_its_position_is_no_target():
    wanted = prompt(want("dog"), want("cat", position=["left of", 0]), want("bus", position=["left of", 1]))
    detections = [dog(at(50, 50)), Detection("cat", 0.9, at(90, 50)), Detection("bus", 0.9, at(10, 50))]
    assert "no target for bus left of" in score_image(detections, wanted).reason


def test_position_may_point_at_any_earlier_include():
    wanted = prompt(want("dog"), want("cat"), want("bus", position=["left of", 1]))
    detections = [dog(at(0, 50)), Detection("cat", 0.9, at(90, 50)), Detection("bus", 0.9, at(50, 50))]
    assert score_image(detections, wanted).correct


def test_every_pair_must_hold_the_relation():
    wanted = prompt(want("dog", 2), want("cat", 2, position=["left of", 0]))
    cats = [Detection("cat", 0.9, at(10, 50)), Detection("cat", 0.9, at(40, 50))]
    assert score_image([dog(at(80, 50)), dog(at(70, 50)), *cats], wanted).correct
    assert not score_image([dog(at(80, 50)), dog(at(25, 50)), *cats], wanted).correct


def test_wrong_color_is_not_saved_by_position():
    wanted = prompt(want("dog"), want("cat", color="red", position=["left of", 0]))
    detections = [dog(at(80, 50)), Detection("cat", 0.9, at(10, 50), "blue")]
    assert score_image(detections, wanted).reason == "expected 1 red cat, found blue"
