"""Model folders: what is written is read back; damage is named."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from janusflow.checkpoint import ASSETS, Bundle, load_pretrained, save_pretrained
from janusflow.data.template import ChatConfig
from janusflow.models.vae import LatentCodec


@pytest.fixture
def folder(tmp_path, tiny_model, tokenizer):
    codec = LatentCodec.from_pretrained(ASSETS / "shapes" / "vae")
    chat = ChatConfig(user="<|User|>", assistant="<|Assistant|>")
    save_pretrained(Bundle(tiny_model, codec, tokenizer, chat, digest=""), tmp_path / "model")
    return tmp_path / "model"


def test_round_trip_keeps_every_weight_but_the_training_only_projector(folder, tiny_model):
    loaded = load_pretrained(folder)
    saved = {name: value for name, value in tiny_model.state_dict().items() if not name.startswith("projector")}
    assert saved.keys() == loaded.model.state_dict().keys()
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, saved[name]), name
    assert loaded.model.projector is None
    assert loaded.chat.user == "<|User|>"


def test_loaded_model_computes_the_same(folder, tiny_model):
    """The meta device leaves rotary frequencies empty: they must have been rebuilt."""
    embeds, positions = torch.randn(1, 7, 32), torch.arange(200, 207).unsqueeze(0)
    with torch.inference_mode():
        torch.testing.assert_close(
            load_pretrained(folder).model.llm(embeds, positions).hidden, tiny_model.llm(embeds, positions).hidden
        )


def test_run_folder_is_read_through_its_model(folder):
    assert load_pretrained(folder.parent).digest == load_pretrained(folder).digest


def edit_weights(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: shutil.rmtree(f), "no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "config.json"),
        (lambda f: (f / "config.json").write_text('{"format": "other"}'), "does not describe"),
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x00" * 100), "model.safetensors"),
        (
            lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-500]),
            "model.safetensors",
        ),
        (lambda f: (f / "tokenizer.json").write_text("[]"), "tokenizer.json"),
        (lambda f: shutil.rmtree(f / "vae"), "vae"),
        (lambda f: edit_weights(f, lambda w: w.pop("vision.begin_embed")), "missing vision.begin_embed"),
        (lambda f: edit_weights(f, lambda w: w.update(extra=torch.zeros(1))), "unknown extra"),
        (
            lambda f: edit_weights(f, lambda w: w.update({"vision.aligner.bias": torch.zeros(3)})),
            "vision.aligner.bias has shape",
        ),
    ],
)
def test_damage_is_named_in_one_line(folder, damage, message):
    damage(folder)
    with pytest.raises(ValueError, match=message) as caught:
        load_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_unknown_key_in_config_is_refused(folder):
    values = json.loads((folder / "config.json").read_text())
    values["model"]["llm"]["hidden"] = 3
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match="hidden"):
        load_pretrained(folder)
