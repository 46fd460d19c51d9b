"""The task of the worlds: what its judge sees, what its options ask for, and a run's report as a view of its result."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from eval.__main__ import main
from eval.result import RESULT, read_result
from eval.task import Judged
from eval.worlds.benchmark import HELD_OUT, IN_DISTRIBUTION, PARAPHRASED, REWORDED
from eval.worlds.judge import WorldJudge, describe_detector, frame_color, look
from eval.worlds.oracle import Detection as Seen
from eval.worlds.report import score_run, write_report
from eval.worlds.task import SUFFIXES, WorldOptions, WorldTask, flat, verdict_of
from janusflow.training.config import ReportConfig
from janusflow.worlds.questions import question_kinds
from janusflow.worlds.scenes import World
from tests.worlds.reading import WORLDS, train_scenes


def test_of_shapes_seen_equally_well_the_oracles_first_is_judged(monkeypatch):
    seen = [Seen("circle", color, 1.0, (x, 0, x + 9, 9)) for color, x in (("red", 0), ("blue", 20))]
    monkeypatch.setattr("eval.worlds.oracle.detect", lambda image: seen)
    [record] = look("shapes", [Image.new("RGB", (48, 48))])
    verdicts = [
        verdict_of(Judged(record), {"tag": "colors", "include": [{"class": "circle", "count": 1, "color": color}]})
        for color in ("red", "blue")
    ]
    assert [verdict.correct for verdict in verdicts] == [True, False]
    assert verdict_of(None, {}).reason == "no picture"


def test_the_judge_sees_things_and_frames(judged_world):
    task = WorldTask(WorldOptions(judged_world.cast, "free", prompts_per_tag=1, images_per_prompt=1))
    scenes = train_scenes(judged_world)[: len(task.drawings())]
    judged = WorldJudge(judged_world.cast).judge(task.drawings(), [scene.render() for scene in scenes])
    for scene, one in zip(scenes, judged, strict=True):
        assert one.record["side"] == judged_world.things.image_size and -1 <= one.record["cosine"] <= 1
        assert np.linalg.norm(one.features) == pytest.approx(1, abs=1e-4)
        middle = np.mean([scene.background.start, scene.background.end], axis=0)
        assert np.abs(one.record["frame"] - middle).max() < 12
        json.dumps(one.record)
    found = [sorted(d["label"] for d in one.record["detections"] if d["score"] > 0.3) for one in judged]
    right = [sorted(thing.name for thing in scene.objects) == names for scene, names in zip(scenes, found, strict=True)]
    assert np.mean(right) > 0.9
    assert judged_world.cast in describe_detector(judged_world.cast)


def test_a_frame_is_the_border_of_a_picture():
    image = Image.new("RGB", (48, 48), (10, 20, 30))
    image.paste((200, 200, 200), (2, 2, 46, 46))
    assert frame_color(image) == frame_color(image.resize((96, 96), Image.Resampling.NEAREST)) == [10, 20, 30]


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_the_task_asks_of_every_split_what_it_has(world):
    few = {"prompts_per_tag": 2, "images_per_prompt": 3, "questions_per_kind": 1, "paraphrases": 14}
    task = WorldTask(WorldOptions(world.cast, world.level, **few), side=32)
    held = 4 if world.cast == "objects" else 3  # kinds with something to hold out
    drawn = [one.id.split("/")[0] for one in task.drawings()]
    expected = {IN_DISTRIBUTION: 36, HELD_OUT: 6 * held, REWORDED: 36, PARAPHRASED: 42}
    assert {split: drawn.count(split) for split in SUFFIXES} == expected
    assert len({one.id for one in task.drawings()}) == len(drawn)
    assert {one.seeds for one in task.drawings()} == {(0,), (1,), (2,)}
    assert all(one.prompt == task.prompt_of(one)["prompt"] for one in task.drawings())
    asked = task.questions()
    assert {one.id.split("/")[0] for one in asked} == {IN_DISTRIBUTION, HELD_OUT, PARAPHRASED}
    kinds = {"what", "color", "count", "where", "exists", "beside"}
    kinds |= ({"larger", "background"} if world.free else set()) | ({"style"} if world.cast == "objects" else set())
    for split in (IN_DISTRIBUTION, HELD_OUT):
        assert [one.gold["kind"] for one in asked if one.id.startswith(split)] == list(question_kinds(world))
    assert set(question_kinds(world)) == kinds


def test_settings_are_chosen_on_other_prompts_and_questions():
    few = {"level": "fixed", "prompts_per_tag": 4, "images_per_prompt": 1, "questions_per_kind": 4}
    reported, chosen_on = (WorldTask(WorldOptions(**few, development=other)) for other in (False, True))
    assert reported.departures({}) == [] and chosen_on.departures({}) == ["development prompts"]
    works = [task.prepare() for task in (reported, chosen_on)]
    assert works[0].protocol["benchmark_seed"] != works[1].protocol["benchmark_seed"]
    prompts, questions = zip(
        *[([d.prompt for d in w.drawings], [q.images for q in w.questions]) for w in works], strict=True
    )
    assert [len(of) for of in prompts] == [len(prompts[0])] * 2 and [len(of) for of in questions] == [48] * 2
    assert len(set(prompts[0]) & set(prompts[1])) < len(prompts[0]) / 4
    assert not set(questions[0]) & set(questions[1])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cast": "animals"}, "unknown cast 'animals'"),
        ({"level": "loose"}, "level is one of fixed, free"),
        ({"prompts_per_tag": -1}, "prompts_per_tag must be at least 0"),
        ({"images_per_prompt": 0}, "images_per_prompt must be at least 1"),
        ({"reference_images": 1}, "reference_images must be at least 8"),
    ],
)
def test_options_that_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        WorldOptions(**given)


def test_the_command_line_offers_the_levels(capsys):
    with pytest.raises(SystemExit):
        main(["run", "world", "--level", "loose"])
    assert "choose from" in capsys.readouterr().err


def test_a_runs_report_is_a_view_of_the_tasks_result(models, bundles, tmp_path, capsys):
    few = {"prompts_per_tag": 1, "images_per_prompt": 1, "questions_per_kind": 1, "reference_images": 8}
    world = World("shapes", "free")
    config = ReportConfig(sampling={"steps": 2, "guidance": 4.0}, batch_size=4, **few)
    scores = score_run(tmp_path, bundles["flow"], world, config)
    assert scores["protocol"]["sampling_text"] == "2 euler steps, w = 4" and scores["protocol"]["image_seeds"] == "0..0"
    page = write_report(tmp_path, scores, 3.0).read_text()
    assert "Trained in 3.0 minutes." in page and "(samples.png)" in page and "**answers: all**" in page
    assert json.loads((tmp_path / "scores.json").read_text())["held_out"] == scores["held_out"]

    flags = [word for name, value in few.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = ["run", "world", "--model", str(models / "flow"), *flags, "--steps", "2", "--guidance", "4"]
    assert main([*command, "--batch-size", "4", "--out", str(tmp_path / "out")]) == 0
    result = read_result(tmp_path / "out" / RESULT)
    splits = ((flat(scores[split]).items(), suffix) for split, suffix in SUFFIXES.items() if split in scores)
    assert result["scores"] == {name + suffix: value for found, suffix in splits for name, value in found}

    drawn = tmp_path / "scores" / "drawn-0-of-1.jsonl"
    before = drawn.stat().st_mtime_ns
    assert score_run(tmp_path, bundles["flow"], world, config)["held_out"] == scores["held_out"]
    assert drawn.stat().st_mtime_ns == before, "kept for the same model and settings"
    understood = score_run(
        tmp_path, bundles["flow"], world, dataclasses.replace(config, sampling={}, tasks=["understanding"])
    )
    assert set(understood["in_distribution"]) == {"answers"} and not drawn.exists()
