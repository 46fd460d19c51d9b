"""Model folders: what is written is read back; damage is named."""

import os

import pytest
import torch
from transformers import AutoTokenizer

from janusflow.checkpoints.deepseek import read_vision_config, vision_params
from janusflow.checkpoints.pretrained import load_pretrained, save_pretrained
from janusflow.data.latents import signature, write_latents
from janusflow.models.vision import VisionConfig

LAYOUTS = ("janusflow", "deepseek")


@pytest.fixture(params=LAYOUTS)
def folder(request, saved):
    return saved("flow", request.param)


def test_round_trip(folder, flow_bundle, tiny_model):
    """Every weight but the training-only projector, sizes, chat format and pixels; it computes the same."""
    loaded = load_pretrained(folder)
    saved = {name: value for name, value in tiny_model.state_dict().items() if not name.startswith("projector")}
    assert saved.keys() == loaded.model.state_dict().keys() and not loaded.model.losses
    for name, value in loaded.model.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, saved[name]), name
    assert (loaded.chat, loaded.preprocessing) == (flow_bundle.chat, flow_bundle.preprocessing)
    for part in ("llm", "vision", "head"):
        assert getattr(loaded.model.config, part) == getattr(flow_bundle.model.config, part)
    embeds, positions = torch.randn(1, 7, 32), torch.arange(200, 207).unsqueeze(0)
    with torch.inference_mode():  # the meta device leaves rotary frequencies empty: they must have been rebuilt
        torch.testing.assert_close(loaded.model.llm(embeds, positions).hidden, tiny_model.llm(embeds, positions).hidden)
    assert load_pretrained(folder.parent).digest == loaded.digest, "a run folder is read through its model"
    assert loaded.required_codec.to(torch.device("cpu"), torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("layout", LAYOUTS)
def test_import_export_import_is_bit_exact(tmp_path, flow_bundle, layout):
    """Through several shards, in the stored type."""
    save_pretrained(flow_bundle, tmp_path / "first", layout, dtype=torch.bfloat16)
    first = load_pretrained(tmp_path / "first", dtype="stored")
    frequencies = first.model.llm.frequencies
    assert frequencies.dtype == torch.float32 and frequencies.device.type == "cpu"
    save_pretrained(first, tmp_path / "second", layout, shard_size="100KB")
    assert len(list((tmp_path / "second").glob("*.safetensors"))) > 1
    second = load_pretrained(tmp_path / "second", dtype="stored", vae=None)
    assert second.codec is None
    for name, value in first.model.state_dict().items():
        assert value.dtype == torch.bfloat16
        assert torch.equal(value, second.model.state_dict()[name]), name


@pytest.mark.parametrize(("depth", "select"), [(24, -1), (2, -23), (1, -24)])
def test_towers_of_full_width_keep_their_official_name(depth, select):
    params = vision_params(VisionConfig(depth=depth))
    assert (params["model_name"], params["select_layer"]) == ("siglip_large_patch16_384", select)
    assert read_vision_config(params, "here") == VisionConfig(depth=depth)
    with pytest.raises(ValueError, match="select_layer -25"):
        read_vision_config({**params, "select_layer": -25}, "here")


def test_transformers_reads_the_exported_tokenizer(tmp_path, flow_bundle):
    save_pretrained(flow_bundle, tmp_path, "deepseek")
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    text = "a photo of two red circles"
    assert theirs.encode(text, add_special_tokens=False) == flow_bundle.tokenizer.encode(text)
    assert (theirs.bos_token_id, theirs.pad_token_id) == (flow_bundle.tokenizer.bos, flow_bundle.tokenizer.pad)


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_files_have_the_permissions_of_any_new_file(tmp_path, flow_bundle, tiny_vq, mask):
    before = os.umask(mask)
    try:
        save_pretrained(flow_bundle, tmp_path / "model", shard_size="100KB")
        tiny_vq.save(tmp_path / "vq")
        write_latents(tmp_path / "latents.safetensors", {"a": torch.zeros(4, 4, 4)}, signature(flow_bundle.codec, 16))
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(path.suffix == ".safetensors" for path in files) > 4
    assert {path.stat().st_mode & 0o777 for path in files} == {0o666 & ~mask}
