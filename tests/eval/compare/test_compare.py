"""``python -m eval compare`` from end to end on tiny random models of both heads."""

import json
import os
import platform
import shutil

import numpy as np
import pytest

from eval.__main__ import main
from eval.compare import measure
from eval.compare.contestants import RECORD, Contestant, claim_folder
from eval.compare.summary import QUALITIES
from eval.result import read_result
from janusflow.worlds.scenes import World

SMALL = [
    *("--prompts-per-tag", "1", "--images-per-prompt", "2", "--questions-per-kind", "1", "--reference-images", "8"),
    *("--flow-steps", "2", "--steps", "1", "2", "--guidance", "4", "--temperatures", "1"),
    *("--sweep-prompts-per-tag", "1", "--sweep-images-per-prompt", "2"),
    *("--repeats", "1", "--bootstrap", "20", "--batch-size", "8"),
]


def compare(models, out, *more):
    return main(
        ["compare", f"flow={models / 'flow'}", f"ar={models / 'ar'},{models / 'ar2'}", "--out", str(out), *more]
    )


@pytest.fixture(scope="module")
def finished(models, tmp_path_factory):
    """A comparison of the flow model with two training seeds of the autoregressive one."""
    out = tmp_path_factory.mktemp("out") / "both"
    assert compare(models, out, *SMALL) == 0
    return out


def points(out):
    """Costs, and one stage of the results."""
    files = [*out.glob("points/*/*.json"), *out.glob("points/*/sweep/*.json"), *out.glob("points/**/drawn*.jsonl")]
    return {str(path.relative_to(out / "points")): path.stat().st_mtime_ns for path in files}


def test_everything_is_measured_and_said(finished):
    said = json.loads((finished / "comparison.json").read_text())
    assert [len(model["checkpoints"]) for model in said["models"].values()] == [1, 2]
    assert len(set(said["models"]["ar"]["checkpoints"])) == 2
    assert said["models"]["flow"]["sampling"] == "2 euler steps, w = 4"
    assert [point["short"] for point in said["sweep"]["ar"]] == ["T1w4"]
    assert [point["llm_rows"] for point in said["sweep"]["flow"]] == [4, 6]
    labels = [row["label"] for row in said["scores"]["held_out"]]
    assert "GenEval rules: counting" in labels and "GenEval rules: position" not in labels
    similarity = next(r for r in said["scores"]["in_distribution"] if r["label"].startswith("image-text"))
    assert similarity["models"]["ar"]["sd"] > 0 and similarity["models"]["flow"]["sd"] is None
    entry = similarity["models"]["ar"]
    assert entry["value"] == pytest.approx(sum(entry["seeds"]) / 2)
    for key in ("prompts_per_tag", "image_seeds", "resolution", "dtype", "libraries", "machine", "device", "bootstrap"):
        assert said["protocol"][key], key


def test_values_are_by_prompt_and_a_prompt_can_be_left_out(finished):
    folder = finished / "points" / "flow-0" / "scores"
    scores = measure.by_prompt(read_result(folder / "result.json"), folder, World("shapes", "free"), 8)
    for split, tags in (("in_distribution", 6), ("held_out", 3), ("reworded", 6)):
        values = scores[split]
        assert len(values["tags"]) == len(values["frechet_without"]) == tags
        assert np.shape(values["correct"]) == np.shape(values["similarity"]) == (tags, 2)
        if split != "reworded":
            assert np.shape(values["right"]) == (len(values["kinds"]), 1)
        assert all(one != values["frechet"] for one in values["frechet_without"])


def test_points_of_a_sweep_draw_and_ask_nothing(finished):
    results = [read_result(path) for path in (finished / "points").glob("*/sweep/*/result.json")]
    assert results and not any("question" in item for result in results for item in result["items"])


def test_report_has_all_sections_and_pictures(finished):
    page = (finished / "report.md").read_text()
    names = ("Scores", "Differences", "Side by side", "Cost of an image", "Quality against compute")
    sections = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    assert sections == [*names, "The papers' numbers", "Protocol"]
    assert "Each point is 12 images" in page and "timed at batch 8 " in page and "| seconds, batch 8 |" in page
    assert "| toy world: flow | 0.000 |" in page.replace("| – ", "") and "not comparable" in page
    for name in ("samples", *(f"{of}-{cost}" for of in QUALITIES for cost in ("flops", "seconds"))):
        assert f"({name}.png)" in page and (finished / f"{name}.png").exists()
    assert (finished / "report.html").read_text().count("data:image/png;base64,") == 7


def test_finished_points_stay_and_what_is_missing_or_other_is_measured(models, finished, monkeypatch):
    before = points(finished)
    costs = {name for name in before if name.endswith(".json") and "drawn" not in name}
    assert len(before) == 3 + 2 + 2 * 4, "scores of each seed, cost of each model, points of the sweep and their costs"
    shutil.rmtree(finished / "points" / "ar-1" / "sweep" / "T1w4")  # a missing point
    monkeypatch.setattr(platform, "machine", lambda: "another")  # whose times are others
    cut = ["--ar-temperature", "0.5", "--ar-top-k", "32", "--ar-top-p", "0.9"]  # and another setting of a head
    assert compare(models, finished, *SMALL, *cut) == 0
    after = points(finished)
    changed = {name for name, time in after.items() if time != before[name]}
    drawn = {f"ar-{seed}/scores/drawn-0-of-1.jsonl" for seed in (0, 1)} | {"ar-1/sweep/T1w4/drawn-0-of-1.jsonl"}
    assert set(after) == set(before) and changed == costs | drawn
    assert "temperature 0.5, top-k 32, top-p 0.9" in (finished / "report.md").read_text()


def test_a_kill_loses_one_point(models, tmp_path, monkeypatch):
    measure_point, calls = measure.measure_point, []

    def killed(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure_point(*args)

    monkeypatch.setattr(measure, "measure_point", killed)
    assert main(["compare", str(models / "flow"), "--out", str(tmp_path / "out"), *SMALL]) == 130
    assert len(points(tmp_path / "out")) == 2 + 2
    assert not list(tmp_path.glob("**/*.part"))


def test_half_a_cost_is_none(tmp_path):
    path = tmp_path / "cost.json"
    for value, kept in ((1, 1), (2, 1)):
        assert measure.measured(path, {"steps": (1, 2)}, lambda value=value: {"value": value}) == {"value": kept}
    path.write_text(path.read_text()[:20])
    assert measure.measured(path, {"steps": (1, 2)}, lambda: {"value": 3}) == {"value": 3}
    assert measure.measured(path, {"steps": (2,)}, lambda: {"value": 4}) == {"value": 4}


def test_one_task_without_sweep_and_a_model_may_join(models, tmp_path, capsys):
    out = tmp_path / "answers"
    few = ["--tasks", "understanding", "--out", str(out), *SMALL]
    assert main(["compare", str(models / "flow"), *few]) == 0
    assert "| answers: all |" in capsys.readouterr().out
    page = (out / "report.md").read_text()
    assert "## Cost" not in page and "## Quality" not in page and "Fréchet distance, SigLIP" not in page
    assert not (out / "samples.png").exists()
    assert main(["compare", str(models / "flow"), str(models / "ar"), *few]) == 0
    assert set(json.loads((out / "comparison.json").read_text())["models"]) == {"flow", "ar"}


def test_bad_input_is_one_line(models, tmp_path, capsys):
    for arguments, value in (
        (["nowhere"], "nowhere"),
        (["{flow}", "--guidance", "1", "-2"], "-2"),
        (["{flow}", "--steps", "4", "0"], "0"),
        (["{flow}", "--temperatures", "-1"], "-1"),
        (["{flow}", "--flow-sampler", "rk9"], "rk9"),
        (["{flow}", "--bootstrap", "0"], "bootstrap"),
        (["{flow}", "--ar-top-k", "0"], "0"),
        (["{flow}", "--ar-top-p", "1.5"], "1.5"),
        (["{flow}", "{ar}", "--ar-top-k", "33"], "top_k 33 is more than the codebook's 32 codes"),
        (["{flow}", "--tasks", "dancing"], "dancing"),
        (["{flow}", "{flow}"], "two models are called flow"),
        (["both={flow},{ar}"], "no seeds of one model"),
        (["{flow},"], "empty path"),
        (["a b={flow}"], "'a b'"),
        (["{flow}", "--device", "quantum"], "quantum"),
        (["{flow}", "nowhere", "--recorded"], "nowhere"),
    ):
        given = [text.format(flow=models / "flow", ar=models / "ar") for text in arguments]
        fails(capsys, [*given, "--out", tmp_path / "out"], value)
        assert not (tmp_path / "out").exists()


def fails(capsys, arguments, value):
    capsys.readouterr()
    assert main(["compare", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and value in line


def test_folders_of_others_and_models_for_other_tasks_are_refused(models, finished, tmp_path, capsys):
    fails(capsys, [models / "ar", "--out", finished], "another comparison, of flow, ar")
    fails(capsys, [f"flow={models / 'ar'}", f"ar={models / 'ar'}", "--out", finished], "another comparison")
    (tmp_path / "letter.txt").write_text("dear")
    fails(capsys, [models / "ar", "--out", tmp_path], "not empty")
    run = tmp_path / "run"
    run.mkdir()
    (run / "model").symlink_to(models / "flow")
    (run / "config.yaml").write_text("report: {tasks: [understanding]}\nstages: {one: {}}\n")
    fails(capsys, [run, models / "ar", "--out", tmp_path / "out"], "not trained for generation")


def test_paths_of_one_folder_are_one_model_and_a_damaged_record_is_named(tmp_path, monkeypatch):
    (tmp_path / "runs" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for path in ("runs/a", str(tmp_path / "runs" / "a"), "./runs/../runs/a"):
        claim_folder(tmp_path / "out", [Contestant("a", (path, "hub/name"))])
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert record == {"a": [os.path.realpath(tmp_path / "runs" / "a"), "hub/name"]}
    with pytest.raises(ValueError, match="another comparison, of a: "):
        claim_folder(tmp_path / "out", [Contestant("a", ("runs", "hub/name"))])
    for damage in ("", '{"a": ', "[1]"):
        (tmp_path / "out" / RECORD).write_text(damage)
        with pytest.raises(ValueError, match=str(tmp_path / "out" / RECORD)):
            claim_folder(tmp_path / "out", [Contestant("a", ("runs/a",))])
