"""Model folders: what is written is read back; damage is named."""

import json
import os
import zlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer

from janusflow.checkpoints.deepseek import read_vision_config, vision_params
from janusflow.checkpoints.pretrained import load_pretrained, save_pretrained
from janusflow.checkpoints.processor_files import RELEASED_SYSTEM
from janusflow.data.latents import write_latents
from janusflow.data.template import ChatConfig
from janusflow.data.transforms import Preprocessing
from janusflow.models.vision import VisionConfig

LAYOUTS = ("janusflow", "deepseek")


@pytest.fixture(params=LAYOUTS)
def folder(request, saved):
    return saved("flow", request.param)


def test_round_trip_keeps_every_weight_but_the_training_only_projector(folder, tiny_model):
    loaded = load_pretrained(folder)
    saved = {name: value for name, value in tiny_model.state_dict().items() if not name.startswith("projector")}
    assert saved.keys() == loaded.model.state_dict().keys()
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, saved[name]), name
    assert loaded.model.projector is None


def test_round_trip_keeps_sizes_chat_and_preprocessing(folder, flow_bundle):
    loaded = load_pretrained(folder)
    assert (loaded.chat, loaded.preprocessing) == (flow_bundle.chat, flow_bundle.preprocessing)
    for part in ("llm", "vision", "head"):
        assert getattr(loaded.model.config, part) == getattr(flow_bundle.model.config, part)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_import_export_import_is_bit_exact(tmp_path, flow_bundle, layout, dtype):
    """Through several shards, in the stored type."""
    save_pretrained(flow_bundle, tmp_path / "first", layout, dtype=dtype)
    first = load_pretrained(tmp_path / "first", dtype="stored")
    save_pretrained(first, tmp_path / "second", layout, shard_size="100KB")
    assert len(list((tmp_path / "second").glob("*.safetensors"))) > 1
    second = load_pretrained(tmp_path / "second", dtype="stored")
    for name, value in first.model.state_dict().items():
        assert value.dtype == dtype
        assert torch.equal(value, second.model.state_dict()[name]), name


def test_precision_policy(folder):
    loaded = load_pretrained(folder, dtype=torch.bfloat16)
    assert {p.dtype for p in loaded.model.parameters()} == {torch.bfloat16}
    frequencies = loaded.model.llm.frequencies
    assert frequencies.dtype == torch.float32 and frequencies.device.type == "cpu"
    assert {p.dtype for p in load_pretrained(folder).model.parameters()} == {torch.float32}
    assert load_pretrained(folder, vae=None).codec is None


def test_official_files_of_a_reduced_model(shared, tmp_path, tokenizer):
    """A folder as DeepSeek writes it: official names and config, no field of ours; it means JanusFlow's defaults."""
    manifest = json.loads((shared / "golden" / "janusflow_small.manifest.json").read_text())
    settings = json.loads((shared / "golden" / "janusflow_small.json").read_text())
    config = json.loads((shared / "data" / "configs" / "janusflow-1.3b.config.INFERRED.json").read_text())
    config["language_config"] |= {"num_hidden_layers": settings["llm_layers"], "vocab_size": settings["vocab"]}
    config["vision_und_enc_config"]["params"]["select_layer"] = settings["siglip_layers"] - 25  # of 24 blocks
    (tmp_path / "config.json").write_text(json.dumps(config))
    tokenizer.save(tmp_path / "tokenizer.json")
    weights = {
        key: torch.from_numpy(np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape, dtype=np.float32))
        for key, shape in manifest.items()
    }
    save_file(weights, tmp_path / "model.safetensors")
    loaded = load_pretrained(tmp_path, vae=None)
    assert torch.equal(loaded.model.vision.begin_embed, weights["beg_of_und_embed"])
    assert loaded.model.config.head.latent_size == 48 and loaded.model.head.num_tokens == 576
    assert loaded.chat == ChatConfig("User", "Assistant", RELEASED_SYSTEM)
    assert loaded.preprocessing == Preprocessing()


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


def test_loaded_model_computes_the_same(folder, tiny_model):
    """The meta device leaves rotary frequencies empty: they must have been rebuilt."""
    embeds, positions = torch.randn(1, 7, 32), torch.arange(200, 207).unsqueeze(0)
    with torch.inference_mode():
        torch.testing.assert_close(
            load_pretrained(folder).model.llm(embeds, positions).hidden, tiny_model.llm(embeds, positions).hidden
        )


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_files_have_the_permissions_of_any_new_file(tmp_path, flow_bundle, tiny_vq, mask):
    before = os.umask(mask)
    try:
        save_pretrained(flow_bundle, tmp_path / "model", shard_size="100KB")
        tiny_vq.save(tmp_path / "vq")
        write_latents(tmp_path / "latents.safetensors", {"a": torch.zeros(4, 4, 4)}, flow_bundle.codec, 16)
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(path.suffix == ".safetensors" for path in files) > 4
    assert {path.stat().st_mode & 0o777 for path in files} == {0o666 & ~mask}


def test_run_folder_is_read_through_its_model(folder):
    assert load_pretrained(folder.parent).digest == load_pretrained(folder).digest


def test_vae_refuses_fp16_and_says_why(folder):
    codec = load_pretrained(folder).required_codec
    with pytest.raises(ValueError, match="overflows"):
        codec.to(torch.device("cpu"), torch.float16)
    assert codec.to(torch.device("cpu"), torch.bfloat16).dtype == torch.bfloat16
