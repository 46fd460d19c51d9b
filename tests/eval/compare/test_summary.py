"""Scores, spreads and paired differences of made-up results."""

import pytest

from eval.compare.summary import pairs, summarize_split


def result(correct, frechet=1.0):
    """Two prompts of each of two tags, two images each."""
    return {
        "tags": ["colors", "colors", "position", "position"],
        "correct": correct,
        "similarity": [[10.0, 20.0]] * 4,
        "frechet": frechet,
        "frechet_floor": 0.5,
        "frechet_without": [frechet + 0.1, frechet - 0.1, frechet, frechet],
    }


WEAK = [[0, 0], [1, 1], [0, 0], [0, 0]]
STRONG = [[1, 1], [1, 1], [1, 0], [1, 1]]


def rows_of(results):
    return {row["label"]: row for row in summarize_split(results, 200)}


def test_scores_and_paired_differences():
    rows = rows_of({"weak": [result(WEAK)], "strong": [result(STRONG, 0.4)]})
    mean = rows["GenEval rules: mean of the tags"]
    assert mean["models"]["weak"]["value"] == 0.25 and mean["models"]["strong"]["value"] == 0.875
    gap = mean["differences"]["strong − weak"]
    assert gap["value"] == pytest.approx(0.875 - 0.25) and 0 < gap["low"] <= gap["value"] <= gap["high"] <= 1
    assert rows["GenEval rules: colors"]["models"]["weak"]["value"] == 0.5
    frechet = next(row for label, row in rows.items() if label.startswith("Fréchet"))
    assert frechet["differences"]["strong − weak"]["value"] == pytest.approx(-0.6)
    assert frechet["differences"]["strong − weak"]["low"] == pytest.approx(-0.6), "both move alike when one is left out"
    assert frechet["models"]["weak"]["low"] == pytest.approx(1 - 1.959964 * 0.1)


def test_training_seeds_give_mean_and_sample_deviation():
    rows = rows_of({"both": [result(WEAK), result(STRONG)]})
    mean = rows["GenEval rules: mean of the tags"]["models"]["both"]
    assert mean["value"] == pytest.approx((0.25 + 0.875) / 2)
    assert mean["seeds"] == [0.25, 0.875] and mean["sd"] == pytest.approx(0.625 / 2**0.5)
    assert rows["GenEval rules: mean of the tags"]["differences"] == {}
    assert rows_of({"one": [result(WEAK)]})["GenEval rules: colors"]["models"]["one"]["sd"] is None


def test_many_models_are_compared_with_the_first():
    assert pairs(["a", "b", "c"]) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs(["a", "b", "c", "d"]) == [("a", "b"), ("a", "c"), ("a", "d")]
