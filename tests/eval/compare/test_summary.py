"""Scores, spreads, paired differences, Pareto fronts and plots of made-up results, and what the report prints."""

import numpy as np
import pytest
from PIL import Image

from eval.compare.plots import draw_side_by_side
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
        **OF_ALL,
    }


OF_ALL = {"diversity": 0.75, "recall": None, "recall_floor": None, "nearest": 0.3, "nearest_floor": 0.3}
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
    assert rows["diversity of a prompt's pictures"]["models"]["weak"] == {"value": 0.75, "sd": None}
    assert rows["recall of rendered scenes"]["models"]["weak"]["value"] is None, "too few pictures"


def test_training_seeds_give_mean_and_sample_deviation():
    rows = rows_of({"both": [result(WEAK), result(STRONG)]})
    mean = rows["GenEval rules: mean of the tags"]["models"]["both"]
    assert mean["value"] == pytest.approx((0.25 + 0.875) / 2)
    assert mean["seeds"] == [0.25, 0.875] and mean["sd"] == pytest.approx(0.625 / 2**0.5)
    assert rows["GenEval rules: mean of the tags"]["differences"] == {}
    assert rows_of({"one": [result(WEAK)]})["GenEval rules: colors"]["models"]["one"]["sd"] is None
    assert pairs(["a", "b", "c"]) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert pairs(["a", "b", "c", "d"]) == [("a", "b"), ("a", "c"), ("a", "d")], "many are compared with the first"


def test_front_is_what_nothing_cheaper_or_equal_beats_in_every_plane():
    costs, qualities = [1, 2, 2, 3, 4, 5], [0.2, 0.5, 0.4, 0.5, 0.9, 0.1]
    assert pareto_front(costs, qualities, more_is_better=True) == [0, 1, 4]
    assert pareto_front(costs, qualities, more_is_better=False) == [0, 5]
    assert pareto_front([3, 1, 2], [1, 1, 1], more_is_better=True) == [1], "ties go to the cheapest"
    cheap = {"flops": 1, "seconds": 9, "overall": 0.1, "frechet": 0.1, "diversity": 0.5}
    quick = {"flops": 2, "seconds": 1, "overall": 0.2, "frechet": 0.3, "diversity": 0.5}
    mark_fronts(points := [cheap, quick])
    assert points[0]["fronts"] == [
        *(["overall", "flops"], ["frechet", "flops"], ["frechet", "seconds"], ["diversity", "flops"]),
    ]
    assert points[1]["fronts"] == [
        *(["overall", "flops"], ["overall", "seconds"], ["frechet", "seconds"], ["diversity", "seconds"]),
    ]


def test_training_seeds_are_averaged():
    def seed(correct, frechet):
        cost = {"flops": 10, "flops_codec": 1, "llm_rows": 4, "llm_positions": 8, "seconds": frechet, "timed_batch": 2}
        scores = {"tags": ["colors", "position"], "correct": correct, "similarity": [[1, 3]], "frechet": frechet}
        return {**scores, "diversity": frechet / 4, **cost}

    seeds = [seed([[True, True], [False, False]], 1.0), seed([[True, False], [False, True]], 2.0)]
    point = point_summary(FlowSampling(8, 2.0), seeds, resamples=10)
    assert point["overall"] == pytest.approx((0.75 + 0.25) / 2)
    assert (point["short"], point["frechet"], point["seconds"], point["similarity"]) == ("8w2", 1.5, 1.5, 2.0)
    assert point["timed_batch"] == 2 and point["diversity"] == 0.375
    assert point["low"] is point["high"] is None, "one prompt of each tag"


@pytest.mark.parametrize("prompts", [1, 2])
def test_one_prompt_of_a_tag_gives_no_interval_and_the_report_says_why(prompts):
    def model(right):
        rows = {
            **{"tags": ["colors"] * prompts + ["position"] * prompts, "correct": [[right]] * 2 * prompts},
            **{"similarity": [[50.0 + right]] * 2 * prompts, "frechet_without": [0.5] * 2 * prompts},
        }
        rows |= {"frechet": 0.5, "frechet_floor": 0.25, "kinds": ["color"] * 4, "right": [[right]] * 4}
        return [{**rows, **OF_ALL}]

    rows = summarize_split({"weak": model(0), "strong": model(1)}, 50)
    scores = {"in_distribution": rows}
    models = {name: {"checkpoints": [""]} for name in ("weak", "strong")}
    sections = score_sections({"models": models, "scores": scores, "protocol": {"bootstrap": 50}})
    said = " ".join(part.text for section in sections for part in section.parts if part.kind == "text")
    assert ("[–] is no interval" in said) == ("[–]" in said) == (prompts == 1)
    if prompts == 1:  # score of the strong model, difference
        both = {row["label"]: (cell(row["models"]["strong"]), *map(gap, row["differences"].values())) for row in rows}
        assert both["GenEval rules: mean of the tags"] == both["GenEval rules: colors"] == ("1.000 [–]", "+1.000 [–]")
        starts = {label.split(" ")[0].rstrip(","): cells for label, cells in both.items()}
        assert starts["Fréchet"] == ("0.500 [–]", "+0.000 [–]") and starts["image-text"] == ("51.0 [–]", "+1.000 [–]")
        assert both["… between two rendered sets (floor)"] == ("0.250",), "never has one"
        assert both["answers: all"] == ("1.000 [1.000, 1.000]", "+1.000 [+1.000, +1.000] *")


def test_models_stand_side_by_side():
    colors = {"first": ["red", "lime"], "second": ["blue", "yellow"]}
    shown = {
        name: [[Image.new("RGB", (48, 48), color)] * 2 for color in of_prompts] for name, of_prompts in colors.items()
    }
    sheet = np.asarray(draw_side_by_side(shown, ["a red circle", "a ring"])).astype(int)
    row = sheet[100]
    found = [tuple(row[x]) for x in (50, 150, 250, 350)]
    assert found == [(255, 0, 0), (255, 0, 0), (0, 0, 255), (0, 0, 255)]
    assert tuple(sheet[220, 50]) == (0, 255, 0) and tuple(sheet[220, 250]) == (255, 255, 0)
