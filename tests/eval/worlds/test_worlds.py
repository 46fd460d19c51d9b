"""The shapes world's scores: right pictures are right, wrong ones wrong, and a run's report shows them."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from eval.__main__ import main
from eval.geneval.score import score_image
from eval.result import RESULT, read_result
from eval.worlds.benchmark import KINDS, Answered, answer_scores, prompt_of, tag_scores
from eval.worlds.judge import detections
from eval.worlds.oracle import Detection as Seen
from eval.worlds.report import score_run, write_report
from eval.worlds.task import flat
from janusflow.training.config import ReportConfig
from janusflow.worlds.shapes import render, sample_scene

SIZE = 48


def verdicts(images, prompts):
    return [score_image(detections(image), prompt) for image, prompt in zip(images, prompts, strict=True)]


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
    found = verdicts([Image.new("RGB", (SIZE, SIZE), "white")] * len(prompts), prompts)
    scores = tag_scores(found, [prompt["tag"] for prompt in prompts])
    assert scores["overall"] == 0 and sum(scores["images"].values()) == len(prompts)
    assert sum(scores["failures"].values()) <= len(prompts)


def test_of_shapes_seen_equally_well_the_oracles_first_is_judged(monkeypatch):
    seen = [Seen("circle", color, 1.0, (x, 0, x + 9, 9)) for color, x in (("red", 0), ("blue", 20))]
    monkeypatch.setattr("eval.worlds.judge.detect", lambda image: seen)
    of_first, of_second = (
        {"tag": "colors", "prompt": "", "include": [{"class": "circle", "count": 1, "color": color}]}
        for color in ("red", "blue")
    )
    found = verdicts([Image.new("RGB", (SIZE, SIZE))] * 2, [of_first, of_second])
    assert [verdict.correct for verdict in found] == [True, False]


def test_answers_are_counted_by_kind():
    scores = answer_scores([Answered("shape", True), Answered("shape", False), Answered("color", True)])
    assert scores == {"kinds": {"shape": 0.5, "color": 1.0}, "overall": 2 / 3, "questions": 3}


def test_a_runs_report_is_a_view_of_the_tasks_result(models, bundles, tmp_path, capsys):
    few = {"prompts_per_tag": 1, "images_per_prompt": 1, "questions_per_kind": 1, "reference_images": 8}
    config = ReportConfig(sampling={"steps": 2, "guidance": 4.0}, batch_size=4, **few)
    scores = score_run(tmp_path, bundles["flow"], config)
    assert scores["protocol"]["sampling_text"] == "2 euler steps, w = 4" and scores["protocol"]["image_seeds"] == "0..0"
    page = write_report(tmp_path, scores, 3.0).read_text()
    assert "Trained in 3.0 minutes." in page and "(samples.png)" in page and "**answers: all**" in page
    assert json.loads((tmp_path / "scores.json").read_text())["held_out"] == scores["held_out"]

    flags = [word for name, value in few.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = ["run", "shapes", "--model", str(models / "flow"), *flags, "--steps", "2", "--guidance", "4"]
    assert main([*command, "--batch-size", "4", "--out", str(tmp_path / "out")]) == 0
    result = read_result(tmp_path / "out" / RESULT)
    expected = flat(scores["in_distribution"])
    expected |= {f"{name} (held out)": value for name, value in flat(scores["held_out"]).items()}
    assert result["scores"] == expected

    drawn = tmp_path / "shapes" / "drawn-0-of-1.jsonl"
    before = drawn.stat().st_mtime_ns
    assert score_run(tmp_path, bundles["flow"], config)["held_out"] == scores["held_out"]
    assert drawn.stat().st_mtime_ns == before, "kept for the same model and settings"
    understood = score_run(tmp_path, bundles["flow"], dataclasses.replace(config, sampling={}, tasks=["understanding"]))
    assert set(understood["in_distribution"]) == {"answers"} and not drawn.exists()
