"""A stage that learns to draw images from what understanding sees of them: a run of each head, and bad input."""

import dataclasses
import shutil

import pytest

import train
from janusflow.config import load_config
from janusflow.data.config import TASKS
from janusflow.training.config import RunConfig
from janusflow.training.plan import check_stages
from janusflow.training.stages import RatioConfig, StageConfig
from tests.conftest import ROOT
from tests.training.conftest import equal, losses, weights, write_config

RATIOS = "[{understanding: 2, text: 1, reconstruction: 5}]"
STAGE = f"{{train: [llm, generation, repa], steps: 4, batch_size: 8, ratios: {RATIOS}}}"
AGAIN = StageConfig(train=["llm", "generation"], ratios=[RatioConfig(understanding=1, reconstruction=1)])


@pytest.mark.slow
@pytest.mark.parametrize(("head", "term"), [("flow", "flow"), ("ar", "codes")])
def test_a_stage_is_planned_trained_validated_previewed_and_resumed_exactly(tmp_path, capsys, head, term):
    config = [str(write_config(tmp_path, head)), f"stages={{reca: {STAGE}}}", "preview.prompts=[]"]
    assert train.main([*config, "--plan"]) == 0
    assert "reconstruction from world: 5 a step" in capsys.readouterr().out
    assert train.main([*config, "preview.reconstructions=1", "trainer.save_every=2"]) == 0
    assert "understanding : text : reconstruction = 2 : 1 : 5" in capsys.readouterr().out
    run = tmp_path / "runs" / "small"
    assert (run / "samples" / "reca-000004.png").exists()
    before, trained = losses(run), weights(run)
    named = {name for _, _, name in before}
    assert {f"validation/world/{name}" for name in (term, "ar")} <= named
    assert ("validation/world/repa" in named) == (head == "flow"), "REPA's target is the same image"
    shutil.rmtree(run / "checkpoints" / "reca-000004")
    assert train.main(["--resume", str(run)]) == 0
    assert losses(run) == before and equal(weights(run), trained)


def test_stages_that_make_no_sense_are_named(tiny_config):
    check_stages({"one": AGAIN}, tiny_config, TASKS)
    with pytest.raises(ValueError, match="one's mixture wants reconstruction samples, and no source gives any"):
        check_stages({"one": AGAIN}, tiny_config, ["understanding", "generation", "text"])
    for encoder in ("shared", "separate"):
        model = dataclasses.replace(tiny_config, und_encoder=encoder)
        with pytest.raises(ValueError, match=f"one wants reconstruction, .* {encoder} sees the very latents"):
            check_stages({"one": AGAIN}, model, TASKS)


ONLY_TEXT = "data.sources={lines: {kind: text, path: LINES}}"


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        (["data.max_length=80"], "reca draws images again, and one takes"),
        ([ONLY_TEXT], "reca's mixture wants"),
        ([ONLY_TEXT, "stages.reca.ratios=[{text: 1}]", "preview.reconstructions=1"], "preview.reconstructions shows"),
        (["preview.reconstructions=-1"], "reconstructions >= 0"),
        (["stages.reca.reconstruction={requests: []}"], "requests is empty"),
        (["stages.reca.ratios=[{reconstruction: -1}]"], "0.0:0.0:0.0:-1.0"),
        (["model.und_encoder=shared"], "sees the very latents"),
    ],
)
def test_bad_input_is_one_line_and_makes_no_run(tmp_path, capsys, settings, value):
    (tmp_path / "lines.txt").write_text("a ring has a hole.\n")
    settings = [setting.replace("LINES", str(tmp_path / "lines.txt")) for setting in settings]
    assert train.main([str(write_config(tmp_path)), f"stages={{reca: {STAGE}}}", *settings]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and value in line
    assert not (tmp_path / "runs").exists()


def test_rollouts_and_reconstruction_do_not_go_together():
    ratios = "stages.nft.ratios=[{generation: 1, reconstruction: 1}]"
    with pytest.raises(ValueError, match="nft has a rollout, and its loss learns nothing of reconstruction"):
        load_config(RunConfig, ROOT / "configs/shapes_nft.yaml", [ratios])
