"""DPG-Bench's rules and the traps of its official script, one case each."""

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
ALL = same(YES, YES, YES)


def test_answer_counts_when_it_equals_yes():
    assert [text for text in ("yes", "Yes", " yes", "no", "yes it is", "yes.", "") if is_yes(text)] == ["yes"]


def test_children_of_unmet_parents_are_0():
    for raw, parents, zeroed in (
        ((0.0, 1.0), {1: (), 2: (1,)}, (0.0, 0.0)),
        # one unmet parent of several is enough
        ((1.0, 0.0, 1.0), {1: (), 2: (), 3: (1, 2)}, (1.0, 0.0, 0.0)),
        ((1.0, 1.0, 1.0), {1: (), 2: (), 3: (1, 2)}, (1.0, 1.0, 1.0)),
        # zeroing chains to grandchildren, in the file's order: a later parent is not yet zeroed
        ((0.0, 1.0, 1.0), {1: (), 2: (1,), 3: (2,)}, (0.0, 0.0, 0.0)),
        ((1.0, 1.0, 0.0), {3: (2,), 2: (1,), 1: ()}, (1.0, 0.0, 0.0)),
        ((1.0, 1.0), {1: (0,), 2: (1,)}, (1.0, 1.0)),  # 0 is no parent
    ):
        assert zero_children(dict(zip(parents, raw, strict=True)), parents) == dict(zip(parents, zeroed, strict=True))


@pytest.mark.parametrize("protocol", ["official", "corrected"])
def test_means_over_crops_items_and_questions(protocol):
    crops = [{1: YES, 2: YES, 3: YES}, {1: NO, 2: YES, 3: YES}, {1: YES, 2: NO, 3: YES}, {1: YES, 2: YES, 3: NO}]
    scored = score(CHAIN, {"a": crops}, protocol)
    assert scored.items["a"]["crops"] == pytest.approx([100, 0, 100 / 3, 200 / 3])
    assert scored.scores["overall"] == pytest.approx(50) and scored.problems == {}
    questions = rows(("a", 1, [], "global"), *(("b", number, [], "global") for number in (1, 2, 3)))
    scored = score(questions, {"a": same(YES), "b": same(NO, NO, NO)}, protocol)
    assert scored.scores["overall"] == 50 and scored.scores["global"] == 25, "categories pool questions"
    one = score_items(CHAIN, {"a": same(YES, YES, NO)[:1]}, ["a"], protocol, crops=1)  # no grid
    assert one.items["a"]["crops"] == [pytest.approx(200 / 3)] and not one.problems


@pytest.mark.parametrize(
    ("protocol", "categories", "expected"),
    [
        ("official", "raw", [0, 100, 100]),  # of the last crop
        ("corrected", "raw", [75, 100, 100]),  # of all crops
        ("corrected", "zeroed", [75, 75, 75]),
    ],
)
def test_readings_of_categories(protocol, categories, expected):
    scored = score(CHAIN, {"a": [*ALL[:3], {1: NO, 2: YES, 3: YES}]}, protocol, categories)
    assert [scored.scores[name] for name in ("entity", "attribute", "relation")] == expected
    assert scored.scores["overall"] == 75, "zeroed in either"


def test_level_1_pools_the_questions_of_its_level_2():
    kinds = ("entity - whole", "entity - part", "entity - part", "other")
    questions = rows(*(("a", number, [], kind) for number, kind in enumerate(kinds, 1)))
    scored = score(questions, {"a": same(YES, NO, NO, YES)})
    assert scored.details["level 2"] == {"entity - part": 0, "entity - whole": 100, "other": 100}
    assert scored.scores["entity"] == pytest.approx(100 / 3)
    assert scored.scores["other"] == 100 and scored.scores["global"] is None


# --- the official script's lost row ---


def test_official_drops_the_first_data_row_and_so_loses_its_item():
    three = rows(*(("a", 1, [], "global"), ("a", 2, [1], "global"), ("b", 1, [], "global"), ("c", 1, [], "global")),
                 start=0)  # fmt: skip
    answers = {"a": same(YES, YES), "b": same(YES), "c": same(NO)}
    official, corrected = score(three, answers, "official"), score(three, answers)
    assert official.problems == {"left out": ["a"]} and corrected.problems == {}
    assert official.details["items that count"] == 2 and corrected.details["items that count"] == 3
    assert official.scores["overall"] == 50 and corrected.scores["overall"] == pytest.approx(200 / 3)
    assert official.scores["global"] == 50  # without the questions of the lost item


def test_what_the_dropped_row_takes_along():
    for parents, answers, overall, problems in (
        ({1: []}, same(YES), None, {"left out": ["a"]}),  # its only row
        ({1: [], 2: []}, same(NO, YES), 100, {}),  # nothing depends on the dropped row
        ({1: [], 2: [], 3: [2, 1]}, same(YES, NO, YES), 0, {}),  # parents are looked at until one is unmet
        ({1: [], 2: [], 3: [2, 1]}, same(YES, YES, YES), None, {"left out": ["a"]}),
        ({1: [], 2: [1]}, [{1: YES}] * 4, None, {"incomplete": ["a"], "failed": ["a"]}),  # not by the row alone
    ):
        questions = rows(*(("a", number, of, "global") for number, of in parents.items()), start=0)
        scored = score(questions, {"a": answers}, "official")
        assert scored.scores["overall"] == overall and scored.problems == problems


def test_divided_item_keeps_its_last_rows_officially():
    questions = rows(("a", 1, [], "global"), ("b", 1, [], "global"), ("a", 2, [], "global"))
    answers = {"a": same(NO, YES), "b": same(YES)}
    assert score(questions, answers, "official").items["a"]["score"] == 100
    assert score(questions, answers).items["a"]["score"] == 50
    assert score(CHAIN, {"a": ALL}, "official").scores["overall"] == 100, "a part of the file without its first row"


# --- what is missing ---


def test_missing_items_and_unknown_parents_by_protocol():
    questions = rows(("a", 1, [], "global"), ("b", 1, [], "global"))
    official, corrected = score(questions, {"a": same(YES)}, "official"), score(questions, {"a": same(YES)})
    assert official.scores["overall"] == official.scores["global"] == 100
    assert corrected.scores["overall"] == corrected.scores["global"] == 50
    assert official.problems == {"missing": ["b"], "failed": ["b"]} and corrected.problems == {"missing": ["b"]}
    assert official.items["b"]["score"] is None and corrected.items["b"]["score"] == 0
    assert score(CHAIN, {}, "official").scores["overall"] is None
    questions = rows(("a", 1, [9], "global"))
    answers = {"a": [{"1": YES}] * 4}  # as from JSON
    assert score(questions, answers).scores["overall"] == 100
    assert score(questions, answers, "official").problems == {"failed": ["a"]}


@pytest.mark.parametrize(("last", "crop"), [([{1: YES, 2: YES}], 200 / 3), ([], 0)])
def test_missing_answers_and_crops_are_wrong_and_named(last, crop):
    scored = score(CHAIN, {"a": [*ALL[:3], *last]})
    assert scored.items["a"]["crops"][3] == pytest.approx(crop) and scored.problems == {"incomplete": ["a"]}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: score(CHAIN, {}, "best"), "unknown protocol 'best'"),
        (lambda: score(CHAIN, {}, "official", "zeroed"), "the official protocol has no 'zeroed' categories"),
        (lambda: score(CHAIN, {}, "corrected", "all"), "the corrected protocol has no 'all' categories"),
        (lambda: score_items(CHAIN, {}, ["z"], "official"), "no question is about the item 'z'"),
        (lambda: score_items(CHAIN, {"a": ALL}, ["a", "a"], "corrected"), "'a' is there twice"),
        *((lambda given=given: score(CHAIN, {"a": given}), f"the item 'a' .*{value}") for given, value in (
            (ALL * 2, "the answers of 4 crops"), (ALL[0], "the answers of 4 crops"),
            ([{1: True}] * 4, "1: True"), ([{"first": YES}] * 4, "'first': 'yes'"),
        )),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
