"""A stage that learns to edit: a run of each head, and bad input."""

import dataclasses
import shutil

import pytest

import train
from eval.__main__ import main as evaluate
from eval.result import RESULT, read_result
from janusflow.config import load_config
from janusflow.data.config import TASKS
from janusflow.training.config import RunConfig
from janusflow.training.plan import check_stages
from janusflow.training.stages import RatioConfig, StageConfig
from tests.conftest import ROOT
from tests.training.conftest import equal, losses, weights, write_config

RATIOS = "[{understanding: 2, text: 1, editing: 5}]"
STAGE = f"{{train: [llm, generation, repa], steps: 4, batch_size: 8, ratios: {RATIOS}}}"
AGAIN = StageConfig(train=["llm", "generation"], ratios=[RatioConfig(understanding=1, reconstruction=1)])
LATENTS = "model.source_latents=true"


@pytest.mark.slow
@pytest.mark.parametrize(("head", "term", "more"), [("flow", "flow", [LATENTS]), ("ar", "codes", [])])
def test_a_stage_is_planned_trained_validated_previewed_scored_and_resumed_exactly(tmp_path, capsys, head, term, more):
    config = [str(write_config(tmp_path, head)), f"stages={{edit: {STAGE}}}", "preview.prompts=[]", *more]
    assert train.main([*config, "--plan"]) == 0
    assert "editing from world: 5 a step" in capsys.readouterr().out
    assert train.main([*config, "preview.edits=1", "trainer.save_every=2", "sampling.image_guidance=1.5"]) == 0
    assert "understanding : text : editing = 2 : 1 : 5" in capsys.readouterr().out
    run = tmp_path / "runs" / "small"
    assert (run / "samples" / "edit-000004.png").exists()
    before, trained = losses(run), weights(run)
    assert {f"validation/world/{name}" for name in (term, "ar")} <= {name for _, _, name in before}
    shutil.rmtree(run / "checkpoints" / "edit-000004")
    assert train.main(["--resume", str(run)]) == 0
    assert losses(run) == before and equal(weights(run), trained)
    few = ["--edits-per-kind", "1", "--level", "fixed", *(["--steps", "1"] if head == "flow" else [])]
    assert evaluate(["run", "world-edits", "--model", str(run), "--out", str(tmp_path / "scored"), *few]) == 0
    scored = read_result(tmp_path / "scored" / RESULT)
    assert scored["scores"]["all right"] == scored["scores"]["edit success: add"] == 0 and len(scored["items"]) == 12
    assert scored["provenance"]["model"]["sampling"]["image_guidance"] == 1.5


def test_stages_that_make_no_sense_are_named(tiny_config):
    shows = dataclasses.replace(tiny_config, source_latents=True)
    with pytest.raises(ValueError, match=r"one wants reconstruction, and with model\.source_latents prompts show"):
        check_stages({"one": AGAIN}, shows, TASKS)
    edits = StageConfig(train=["llm"], ratios=[RatioConfig(editing=1)])
    check_stages({"one": edits}, shows, TASKS)
    with pytest.raises(ValueError, match="one's mixture wants editing samples, and no source gives any"):
        check_stages({"one": edits}, shows, ["understanding", "generation", "text", "reconstruction"])


ONLY_TEXT = "data.sources={lines: {kind: text, path: LINES}}"


@pytest.mark.parametrize(
    ("head", "settings", "value"),
    [
        ("flow", ["data.max_length=80"], "edit edits images, and one takes"),
        ("flow", [LATENTS, "data.max_length=118"], "edit edits images, and one takes 119 tokens"),
        ("flow", [ONLY_TEXT, "stages.edit.ratios=[{text: 1, editing: 1}]"], "edit's mixture wants editing"),
        ("flow", [ONLY_TEXT, "stages.edit.ratios=[{text: 1}]", "preview.edits=1"], "preview.edits shows edits"),
        ("flow", ["preview.edits=-1"], "edits and reconstructions >= 0"),
        ("flow", ["stages.edit.editing={words_drop: 1.5}"], "words_drop is a share in [0, 1], got 1.5"),
        ("flow", ["stages.edit.editing={words_drop: 0.8}", "data.prompt_drop=0.3"], "are more than 1: 1.1"),
        ("flow", ["sampling={image_guidance: -1}"], "image_guidance must be a number of 0 or more, got -1"),
        ("flow", ["sampling={image_guidance: 2, worse: runs/other}"], "in whose place worse puts a model"),
        ("ar", [LATENTS], "an autoregressive head does not show"),
        ("flow", ["data.sources={edits: {kind: edits, path: nowhere}}"], "no file matches nowhere"),
    ],
)
def test_bad_input_is_one_line_and_makes_no_run(tmp_path, capsys, head, settings, value):
    (tmp_path / "lines.txt").write_text("a ring has a hole.\n")
    settings = [setting.replace("LINES", str(tmp_path / "lines.txt")) for setting in settings]
    assert train.main([str(write_config(tmp_path, head)), f"stages={{edit: {STAGE}}}", *settings]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and value in line
    assert not (tmp_path / "runs").exists()


def test_rollouts_and_editing_do_not_go_together():
    ratios = "stages.nft.ratios=[{generation: 1, editing: 1}]"
    with pytest.raises(ValueError, match="nft has a rollout, and its loss learns nothing of editing"):
        load_config(RunConfig, ROOT / "configs/shapes_nft.yaml", [ratios])
