"""The shapes world's scores: right pictures are right, wrong ones wrong, and both ways of scoring a model agree."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from eval.__main__ import main
from eval.result import RESULT, read_result
from eval.shapes.oracle import Detection as Seen
from eval.shapes.prompts import prompt_of
from eval.shapes.score import KINDS, Answered, answer_scores, score_model, tag_scores, verdicts
from eval.shapes.task import flat
from janusflow.checkpoints.pretrained import SHIPPED, load_pretrained
from janusflow.training.config import ReportConfig
from janusflow.worlds.shapes import render, sample_scene

SIZE = 48


def scenes_and_prompts(split, count=4):
    for number, kind in enumerate(KINDS[split]):
        for index in range(count):
            rng = np.random.default_rng([9, number, index])
            scene = sample_scene(rng, kind, split)
            yield scene, prompt_of(scene, rng)


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_rendered_scenes_meet_their_prompts(split):
    scenes, prompts = zip(*scenes_and_prompts(split), strict=True)
    found = verdicts([render(scene, SIZE) for scene in scenes], prompts)
    assert [verdict.reason for verdict in found if not verdict.correct] == []
    scores = tag_scores(found, [prompt["tag"] for prompt in prompts])
    assert scores["overall"] == 1 and scores["failures"] == {} and set(scores["tags"]) == set(KINDS[split])
    assert scores["complete"] == (split == "train")


def test_an_empty_picture_meets_no_prompt():
    prompts = [prompt for _, prompt in scenes_and_prompts("train")]
    found = verdicts([Image.new("RGB", (SIZE, SIZE), "white")] * len(prompts), prompts)
    scores = tag_scores(found, [prompt["tag"] for prompt in prompts])
    assert scores["overall"] == 0 and sum(scores["images"].values()) == len(prompts)
    assert sum(scores["failures"].values()) <= len(prompts)


def test_of_shapes_seen_equally_well_the_oracles_first_is_judged(monkeypatch):
    seen = [Seen("circle", color, 1.0, (x, 0, x + 9, 9)) for color, x in (("red", 0), ("blue", 20))]
    monkeypatch.setattr("eval.shapes.score.detect", lambda image: seen)
    of_first, of_second = (
        {"tag": "colors", "prompt": "", "include": [{"class": "circle", "count": 1, "color": color}]}
        for color in ("red", "blue")
    )
    found = verdicts([Image.new("RGB", (SIZE, SIZE))] * 2, [of_first, of_second])
    assert [verdict.correct for verdict in found] == [True, False]


def test_answers_are_counted_by_kind():
    scores = answer_scores([Answered("shape", True), Answered("shape", False), Answered("color", True)])
    assert scores == {"kinds": {"shape": 0.5, "color": 1.0}, "overall": 2 / 3, "questions": 3}


@pytest.mark.slow
def test_a_runs_report_and_the_task_agree(tmp_path):
    """One draws in memory, the other resumably through files."""
    config = ReportConfig(steps=4, prompts_per_tag=1, images_per_prompt=2, questions_per_kind=2, reference_images=8)
    reported, pictures = score_model(load_pretrained(SHIPPED), config, log=lambda _: None)
    flags = ["--prompts-per-tag", "1", "--images-per-prompt", "2", "--questions-per-kind", "2"]
    sampling = ["--steps", "4", "--guidance", str(reported["protocol"]["sampling"]["guidance"])]
    out = ["--reference-images", "8", "--batch-size", str(config.batch_size), "--out", str(tmp_path / "out")]
    assert main(["run", "shapes", *flags, *sampling, *out]) == 0
    result = read_result(tmp_path / "out" / RESULT)
    expected = flat(reported["in_distribution"])
    expected |= {f"{name} (held out)": value for name, value in flat(reported["held_out"]).items()}
    assert result["scores"].keys() == expected.keys()
    for name, value in expected.items():
        assert result["scores"][name] == pytest.approx(value, rel=1e-3, abs=1e-3), name
    with Image.open(tmp_path / "out" / "pictures" / "in_distribution/00000/0000.png") as first:
        assert np.abs(np.asarray(first, int) - np.asarray(pictures[0], int)).max() <= 2
