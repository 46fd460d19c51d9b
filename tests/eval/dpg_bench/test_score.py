"""DPG-Bench's rules and the traps of its official script, one named test each."""

from __future__ import annotations

import numpy as np
import pytest

from eval.dpg_bench.questions import Row
from eval.dpg_bench.score import is_yes, score_items, zero_children

YES, NO = "yes", "no"


def rows(*questions: tuple, start: int = 1) -> list[Row]:
    """Rows from (item, id, parents, category); by default none of them is the file's first."""
    return [
        Row(start + place, item, "a prompt", number, tuple(parents), category, f"Is it {number}?")
        for place, (item, number, parents, category) in enumerate(questions)
    ]


def same(*answers: str) -> list[dict[int, str]]:
    """The same answers to questions 1, 2, … about all four crops."""
    return [dict(enumerate(answers, 1))] * 4


def score(questions, answers, protocol="corrected", categories="raw"):
    items = list(dict.fromkeys(row.item for row in questions))
    return score_items(questions, answers, items, protocol, categories=categories)


CHAIN = rows(("a", 1, [], "entity - whole"), ("a", 2, [1], "attribute - color"), ("a", 3, [2], "relation - spatial"))


@pytest.mark.parametrize(
    ("answer", "counts"),
    [("yes", True), ("Yes", False), (" yes", False), ("no", False), ("yes it is", False), ("yes.", False), ("", False)],
)
def test_answer_counts_when_it_equals_yes(answer, counts):
    assert is_yes(answer) == counts


def test_child_of_an_unmet_parent_is_0():
    assert zero_children({1: 0.0, 2: 1.0}, {1: (), 2: (1,)}) == {1: 0.0, 2: 0.0}


def test_one_unmet_parent_of_several_is_enough():
    assert zero_children({1: 1.0, 2: 0.0, 3: 1.0}, {1: (), 2: (), 3: (1, 2)})[3] == 0.0
    assert zero_children({1: 1.0, 2: 1.0, 3: 1.0}, {1: (), 2: (), 3: (1, 2)})[3] == 1.0


def test_zeroing_chains_to_grandchildren():
    assert zero_children({1: 0.0, 2: 1.0, 3: 1.0}, {1: (), 2: (1,), 3: (2,)}) == {1: 0.0, 2: 0.0, 3: 0.0}


def test_zeroing_goes_in_file_order_so_a_later_parent_is_not_yet_zeroed():
    assert zero_children({3: 1.0, 2: 1.0, 1: 0.0}, {3: (2,), 2: (1,), 1: ()}) == {3: 1.0, 2: 0.0, 1: 0.0}


def test_raw_scores_stay_as_they_were():
    raw = {1: 0.0, 2: 1.0}
    zero_children(raw, {1: (), 2: (1,)})
    assert raw == {1: 0.0, 2: 1.0}


@pytest.mark.parametrize("protocol", ["official", "corrected"])
def test_item_is_the_mean_over_crops_of_the_mean_over_questions(protocol):
    crops = [{1: YES, 2: YES, 3: YES}, {1: NO, 2: YES, 3: YES}, {1: YES, 2: NO, 3: YES}, {1: YES, 2: YES, 3: NO}]
    scored = score(CHAIN, {"a": crops}, protocol)
    assert scored.items["a"]["crops"] == pytest.approx([100, 0, 100 / 3, 200 / 3])
    assert scored.scores["overall"] == pytest.approx(50)
    assert scored.problems == {}


@pytest.mark.parametrize("protocol", ["official", "corrected"])
def test_overall_is_the_mean_over_items_not_over_questions(protocol):
    questions = rows(("a", 1, [], "global"), ("b", 1, [], "global"), ("b", 2, [], "global"), ("b", 3, [], "global"))
    scored = score(questions, {"a": same(YES), "b": same(NO, NO, NO)}, protocol)
    assert scored.scores["overall"] == 50
    assert scored.scores["global"] == 25  # categories pool questions


def test_official_categories_are_raw_scores_of_the_last_crop():
    crops = [*same(YES, YES, YES)[:3], {1: NO, 2: YES, 3: YES}]
    official = score(CHAIN, {"a": crops}, "official")
    assert [official.scores[name] for name in ("entity", "attribute", "relation")] == [0, 100, 100]


@pytest.mark.parametrize(("categories", "expected"), [("raw", [75, 100, 100]), ("zeroed", [75, 75, 75])])
def test_corrected_categories_are_of_all_crops_raw_or_zeroed(categories, expected):
    crops = [*same(YES, YES, YES)[:3], {1: NO, 2: YES, 3: YES}]
    corrected = score(CHAIN, {"a": crops}, categories=categories)
    assert [corrected.scores[name] for name in ("entity", "attribute", "relation")] == expected
    assert corrected.scores["overall"] == 75, "zeroed in either"


def test_the_readings_of_categories_differ_by_what_failed_parents_take_away():
    """Synthetic answers: 60 % of entities are there, 70 % of attributes are met, whether or not their entity is."""
    rng = np.random.default_rng(0)
    items = [f"item{number}" for number in range(1000)]
    questions = rows(*(row for item in items for row in ((item, 1, [], "entity"), (item, 2, [1], "attribute"))))
    answers = {
        item: [{1: YES if a < 0.6 else NO, 2: YES if b < 0.7 else NO} for a, b in rng.random((4, 2))] for item in items
    }
    found = {
        (protocol, categories): score(questions, answers, protocol, categories).scores["attribute"]
        for protocol, categories in (("official", "raw"), ("corrected", "raw"), ("corrected", "zeroed"))
    }
    assert found["official", "raw"] == pytest.approx(70, abs=3)  # of 1,000 answers
    assert found["corrected", "raw"] == pytest.approx(70, abs=1.5)  # of 4,000
    assert found["corrected", "zeroed"] == pytest.approx(42, abs=1.5)


def test_level_1_pools_the_questions_of_its_level_2():
    questions = rows(
        ("a", 1, [], "entity - whole"),
        ("a", 2, [], "entity - part"),
        ("a", 3, [], "entity - part"),
        ("a", 4, [], "other"),
    )
    scored = score(questions, {"a": same(YES, NO, NO, YES)})
    assert scored.details["level 2"] == {"entity - part": 0, "entity - whole": 100, "other": 100}
    assert scored.scores["entity"] == pytest.approx(100 / 3)
    assert scored.scores["other"] == 100 and scored.scores["global"] is None


def test_official_drops_the_first_data_row_and_so_loses_its_item():
    questions = rows(
        ("a", 1, [], "global"), ("a", 2, [1], "global"), ("b", 1, [], "global"), ("c", 1, [], "global"), start=0
    )
    answers = {"a": same(YES, YES), "b": same(YES), "c": same(NO)}
    official, corrected = score(questions, answers, "official"), score(questions, answers)
    assert official.problems == {"left out": ["a"]}
    assert official.details["items that count"] == 2 and corrected.details["items that count"] == 3
    assert official.scores["overall"] == 50 and corrected.scores["overall"] == pytest.approx(200 / 3)
    assert official.scores["global"] == 50  # without the questions of the lost item
    assert corrected.problems == {}


def test_official_loses_an_item_whose_only_row_is_dropped():
    questions = rows(("a", 1, [], "global"), ("b", 1, [], "global"), start=0)
    assert score(questions, {"a": same(YES), "b": same(YES)}, "official").problems == {"left out": ["a"]}


def test_official_keeps_the_first_item_where_nothing_depends_on_the_dropped_row():
    questions = rows(("a", 1, [], "global"), ("a", 2, [], "global"), start=0)
    scored = score(questions, {"a": same(NO, YES)}, "official")
    assert scored.scores["overall"] == 100 and scored.problems == {}


def test_official_looks_at_parents_only_until_one_is_unmet():
    questions = rows(("a", 1, [], "global"), ("a", 2, [], "global"), ("a", 3, [2, 1], "global"), start=0)
    assert score(questions, {"a": same(YES, NO, YES)}, "official").scores["overall"] == 0
    assert score(questions, {"a": same(YES, YES, YES)}, "official").problems == {"left out": ["a"]}


def test_first_data_row_counts_as_such_only_in_the_file():
    scored = score(CHAIN, {"a": same(YES, YES, YES)}, "official")  # a part of the file, without its first row
    assert scored.scores["overall"] == 100


def test_missing_item_is_left_out_officially_and_wrong_when_corrected():
    questions = rows(("a", 1, [], "global"), ("b", 1, [], "global"))
    official, corrected = score(questions, {"a": same(YES)}, "official"), score(questions, {"a": same(YES)})
    assert official.scores["overall"] == 100 and corrected.scores["overall"] == 50
    assert official.scores["global"] == 100 and corrected.scores["global"] == 50
    assert official.problems == {"missing": ["b"], "failed": ["b"]} and corrected.problems == {"missing": ["b"]}
    assert official.items["b"]["score"] is None and corrected.items["b"]["score"] == 0


def test_missing_answer_is_wrong_and_named():
    scored = score(CHAIN, {"a": [*same(YES, YES, YES)[:3], {1: YES, 2: YES}]})
    assert scored.items["a"]["crops"][3] == pytest.approx(200 / 3)
    assert scored.problems == {"incomplete": ["a"]}


def test_missing_crop_is_wrong_and_named():
    scored = score(CHAIN, {"a": same(YES, YES, YES)[:3]})
    assert scored.scores["overall"] == 75
    assert scored.problems == {"incomplete": ["a"]}


def test_unknown_parent_is_no_condition_when_corrected_and_an_error_officially():
    questions = rows(("a", 1, [9], "global"))
    assert score(questions, {"a": same(YES)}).scores["overall"] == 100
    assert score(questions, {"a": same(YES)}, "official").problems == {"failed": ["a"]}


def test_nothing_scored_has_no_overall():
    scored = score(CHAIN, {}, "official")
    assert scored.scores["overall"] is None


def test_divided_item_keeps_its_last_rows_officially():
    questions = rows(("a", 1, [], "global"), ("b", 1, [], "global"), ("a", 2, [], "global"))
    answers = {"a": same(NO, YES), "b": same(YES)}
    assert score(questions, answers, "official").items["a"]["score"] == 100
    assert score(questions, answers).items["a"]["score"] == 50


def test_unknown_protocol_and_item_are_refused():
    with pytest.raises(ValueError, match="unknown protocol 'best'"):
        score(CHAIN, {}, "best")
    for protocol, categories in (("official", "zeroed"), ("corrected", "all")):
        with pytest.raises(ValueError, match=f"the {protocol} protocol has no '{categories}' categories"):
            score(CHAIN, {}, protocol, categories)
    with pytest.raises(ValueError, match="no question is about the item 'z'"):
        score_items(CHAIN, {}, ["z"], "official")


# --- what a library is handed ---


def test_a_picture_may_be_no_grid():
    for protocol in ("official", "corrected"):
        scored = score_items(CHAIN, {"a": same(YES, YES, NO)[:1]}, ["a"], protocol, crops=1)
        assert scored.items["a"]["crops"] == [pytest.approx(200 / 3)] and not scored.problems


def test_answers_may_come_from_json():
    crop = {"1": YES, "2": YES, "3": YES}
    assert score(CHAIN, {"a": [crop] * 4}).scores["overall"] == 100


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (same(YES, YES, YES) * 2, "the answers of 4 crops"),
        (same(YES, YES, YES)[0], "the answers of 4 crops"),
        ([{1: True}] * 4, "1: True"),
        ([{1: 1.0}] * 4, "1: 1.0"),
        ([{"first": YES}] * 4, "'first': 'yes'"),
    ],
)
@pytest.mark.parametrize("protocol", ["official", "corrected"])
def test_what_is_no_answer_is_refused(given, value, protocol):
    with pytest.raises(ValueError, match=f"the item 'a' .*{value}"):
        score(CHAIN, {"a": given}, protocol)


def test_an_item_twice_is_refused():
    with pytest.raises(ValueError, match="'a' is there twice"):
        score_items(CHAIN, {"a": same(YES, YES, YES)}, ["a", "a"], "corrected")


def test_0_is_no_parent():
    assert zero_children({1: 1.0, 2: 1.0}, {1: (0,), 2: (1,)}) == {1: 1.0, 2: 1.0}


def test_only_the_lost_row_leaves_an_item_out():
    first = rows(("a", 1, [], "global"), ("a", 2, [1], "global"), start=0)
    assert score(first, {"a": same(YES, YES)}, "official").problems == {"left out": ["a"]}
    incomplete = score(first, {"a": [{1: YES}] * 4}, "official").problems
    assert incomplete == {"incomplete": ["a"], "failed": ["a"]}
