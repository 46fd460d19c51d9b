"""A model card: what it says is what the model and its result files hold."""

import json

import pytest
import torch
from huggingface_hub import ModelCard

from eval.__main__ import main as evaluate
from janusflow.cli import main
from janusflow.pipeline import Pipeline


@pytest.fixture
def scored(saved, examples, tmp_path):
    """A run folder's model, and the result of a benchmark that it drew for."""
    model = saved("flow", "janusflow")
    command = ["run", "my_bench:Redness", "--model", str(model), "--steps", "1", "--seed", "7"]
    assert evaluate([*command, "--out", "scores"]) == 0
    return model, tmp_path / "scores/result.json"


def test_scores_protocol_machine_and_versions_are_those_of_the_result(scored, tmp_path, capsys):
    _, path = scored
    result = json.loads(path.read_text())
    result["scores"]["redness"] = 41.9375  # as nobody would type it
    path.write_text(json.dumps(result))
    export = ["export", str(tmp_path), "--format", "janusflow", "--license", "mit"]
    assert main([*export, str(tmp_path / "out")]) == 0, "the results that ended the run are found"
    card = ModelCard.load(tmp_path / "out/README.md")
    assert (card.data.license, card.data.library_name, card.data.model_name) == ("mit", "janusflow", "out")
    (metric,) = card.data.eval_results
    assert (metric.dataset_type, metric.metric_name, metric.metric_value) == ("redness", "redness", 41.9375)
    assert "| **redness** | 41.94 |" in card.text
    origin = result["provenance"]
    for fact in (origin["model"]["sampling_text"], "seed 7", origin["model"]["checkpoint"], origin["machine"]):
        assert fact in card.text
    assert all(f"{name} {version}" in card.text for name, version in origin["libraries"].items())
    assert main([*export, str(tmp_path / "half"), "--results", "scores", "--dtype", "bfloat16"]) == 0
    again = ["export", str(tmp_path / "half"), str(tmp_path / "no"), "--format", "janusflow", "--results", "scores"]
    assert main(again) == 2 and not (tmp_path / "no").exists()
    assert f"is of the model {origin['model']['checkpoint']}, and the card is of" in capsys.readouterr().err


def test_a_part_of_a_benchmark_is_marked_and_no_metadata(scored, tmp_path):
    model, _ = scored
    command = ["run", "my_bench:Redness", "--model", str(model), "--steps", "1", "--limit", "1"]
    assert evaluate([*command, "--out", "part"]) == 0
    assert main(["export", str(model), str(tmp_path / "out"), "--format", "janusflow", "--results", "part"]) == 0
    card = ModelCard.load(tmp_path / "out/README.md")
    assert card.data.eval_results is None and "INCOMPLETE" in card.text and "1 of 2 items" in card.text


def test_without_results_a_card_has_what_the_model_is(janus_bundle, tmp_path):
    Pipeline(**vars(janus_bundle)).save_pretrained(tmp_path / "mine", dtype=torch.bfloat16)
    card = ModelCard.load(tmp_path / "mine/README.md")
    assert card.data.eval_results is None and "Scores" not in card.text and card.text.startswith("\n# mine")
    assert "an autoregressive head" in card.text and "3 × 32, 640 tokens" in card.text and "16 px" in card.text
