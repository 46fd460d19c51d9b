"""Scores, spreads, paired differences and Pareto fronts of made-up results, and what the report prints of them."""

import pytest

from eval.compare.report import cell, gap, score_sections
from eval.compare.summary import mark_fronts, pairs, pareto_front, point_summary, summarize_split
from janusflow.models.flow_head import FlowSampling


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


def test_front_is_what_nothing_cheaper_or_equal_beats():
    costs, qualities = [1, 2, 2, 3, 4, 5], [0.2, 0.5, 0.4, 0.5, 0.9, 0.1]
    assert pareto_front(costs, qualities, more_is_better=True) == [0, 1, 4]
    assert pareto_front(costs, qualities, more_is_better=False) == [0, 5]
    assert pareto_front([3, 1, 2], [1, 1, 1], more_is_better=True) == [1], "ties go to the cheapest"


def test_points_are_marked_in_every_plane():
    cheap = {"flops": 1, "seconds": 9, "overall": 0.1, "frechet": 0.1}
    quick = {"flops": 2, "seconds": 1, "overall": 0.2, "frechet": 0.3}
    mark_fronts(points := [cheap, quick])
    assert points[0]["fronts"] == [["overall", "flops"], ["frechet", "flops"], ["frechet", "seconds"]]
    assert points[1]["fronts"] == [["overall", "flops"], ["overall", "seconds"], ["frechet", "seconds"]]


def test_training_seeds_are_averaged():
    def seed(correct, frechet):
        cost = {"flops": 10, "flops_codec": 1, "llm_rows": 4, "llm_positions": 8, "seconds": frechet, "timed_batch": 2}
        return {"tags": ["colors", "position"], "correct": correct, "similarity": [[1, 3]], "frechet": frechet, **cost}

    seeds = [seed([[True, True], [False, False]], 1.0), seed([[True, False], [False, True]], 2.0)]
    point = point_summary(FlowSampling(8, 2.0), seeds, resamples=10)
    assert point["overall"] == pytest.approx((0.75 + 0.25) / 2)
    assert (point["short"], point["frechet"], point["seconds"], point["similarity"]) == ("8w2", 1.5, 1.5, 2.0)
    assert point["timed_batch"] == 2
    assert point["low"] is point["high"] is None, "one prompt of each tag"


def results(prompts, answers=4):
    """Two tags of ``prompts`` each, and one kind of question; two models that differ in every prompt."""

    def model(right):
        return {
            "tags": ["colors"] * prompts + ["position"] * prompts,
            "correct": [[right]] * 2 * prompts,
            "similarity": [[50.0 + right]] * 2 * prompts,
            "frechet": 0.5,
            "frechet_floor": 0.25,
            "frechet_without": [0.5] * 2 * prompts,
            "kinds": ["color"] * answers,
            "right": [[right]] * answers,
        }

    return {"weak": [model(0)], "strong": [model(1)]}


def printed(rows):
    """label -> (score of the strong model, difference)."""
    return {
        row["label"]: (cell(row["models"]["strong"]), *(gap(one) for one in row["differences"].values()))
        for row in rows
    }


def test_one_prompt_of_a_tag_gives_no_interval():
    rows = printed(summarize_split(results(prompts=1), 50))
    assert rows["GenEval rules: mean of the tags"] == ("1.000 [–]", "+1.000 [–]")
    assert rows["GenEval rules: colors"] == ("1.000 [–]", "+1.000 [–]")
    assert [both for label, both in rows.items() if label.startswith("Fréchet")] == [("0.500 [–]", "+0.000 [–]")]
    assert [both for label, both in rows.items() if label.startswith("image-text")] == [("51.0 [–]", "+1.000 [–]")]
    assert [both for label, both in rows.items() if label.startswith("…")] == [("0.250",)], "never has one"
    assert rows["answers: all"] == ("1.000 [1.000, 1.000]", "+1.000 [+1.000, +1.000] *")


def test_the_report_says_why_there_is_no_interval():
    def said(prompts):
        models = {name: {"checkpoints": [""]} for name in ("weak", "strong")}
        scores = {"in_distribution": summarize_split(results(prompts), 50)}
        sections = score_sections({"models": models, "scores": scores, "protocol": {"bootstrap": 50}})
        return " ".join(part.text for section in sections for part in section.parts if part.kind == "text")

    assert "[–] is no interval" in said(1) and "[–]" not in said(2)
