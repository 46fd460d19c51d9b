"""Model folders: what is written is read back; damage is named."""

import json
import os
import shutil
import zlib

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from janusflow.checkpoints.deepseek import read_vision_config, vision_params
from janusflow.checkpoints.pretrained import Bundle, load_pretrained, save_pretrained
from janusflow.checkpoints.processor_files import RELEASED_SYSTEM
from janusflow.codecs.vae import LatentCodec
from janusflow.data.latents import write_latents
from janusflow.data.template import ChatConfig
from janusflow.data.transforms import Preprocessing
from janusflow.models.vision import VisionConfig
from janusflow.weights import ASSETS

LAYOUTS = ("janusflow", "deepseek")


@pytest.fixture
def bundle(tiny_model, tokenizer):
    codec = LatentCodec.from_pretrained(ASSETS / "shapes" / "vae")
    chat = ChatConfig(user="<|User|>", assistant="<|Assistant|>", system="Be brief.")
    return Bundle(tiny_model, codec, tokenizer, chat, Preprocessing(min_side=3, normalize=False, mean=[0.1, 0.2, 0.3]))


@pytest.fixture(params=LAYOUTS)
def folder(request, tmp_path, bundle):
    save_pretrained(bundle, tmp_path / "model", request.param)
    return tmp_path / "model"


def test_round_trip_keeps_every_weight_but_the_training_only_projector(folder, tiny_model):
    loaded = load_pretrained(folder)
    saved = {name: value for name, value in tiny_model.state_dict().items() if not name.startswith("projector")}
    assert saved.keys() == loaded.model.state_dict().keys()
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, saved[name]), name
    assert loaded.model.projector is None


def test_round_trip_keeps_sizes_chat_and_preprocessing(folder, bundle):
    loaded = load_pretrained(folder)
    assert (loaded.chat, loaded.preprocessing) == (bundle.chat, bundle.preprocessing)
    for part in ("llm", "vision", "head"):
        assert getattr(loaded.model.config, part) == getattr(bundle.model.config, part)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_import_export_import_is_bit_exact(tmp_path, bundle, layout, dtype):
    """Through several shards, in the stored type."""
    save_pretrained(bundle, tmp_path / "first", layout, dtype=dtype)
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


def test_transformers_reads_the_exported_tokenizer(tmp_path, bundle):
    save_pretrained(bundle, tmp_path, "deepseek")
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    text = "a photo of two red circles"
    assert theirs.encode(text, add_special_tokens=False) == bundle.tokenizer.encode(text)
    assert (theirs.bos_token_id, theirs.pad_token_id) == (bundle.tokenizer.bos, bundle.tokenizer.pad)


def test_loaded_model_computes_the_same(folder, tiny_model):
    """The meta device leaves rotary frequencies empty: they must have been rebuilt."""
    embeds, positions = torch.randn(1, 7, 32), torch.arange(200, 207).unsqueeze(0)
    with torch.inference_mode():
        torch.testing.assert_close(
            load_pretrained(folder).model.llm(embeds, positions).hidden, tiny_model.llm(embeds, positions).hidden
        )


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_files_have_the_permissions_of_any_new_file(tmp_path, bundle, tiny_vq, mask):
    before = os.umask(mask)
    try:
        save_pretrained(bundle, tmp_path / "model", shard_size="100KB")
        tiny_vq.save(tmp_path / "vq")
        write_latents(tmp_path / "latents.safetensors", {"a": torch.zeros(4, 4, 4)}, bundle.codec, 16)
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(path.suffix == ".safetensors" for path in files) > 4
    assert {path.stat().st_mode & 0o777 for path in files} == {0o666 & ~mask}


def test_run_folder_is_read_through_its_model(folder):
    assert load_pretrained(folder.parent).digest == load_pretrained(folder).digest


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: shutil.rmtree(f), "no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "config.json"),
        (lambda f: (f / "config.json").write_text('{"format": "other"}'), "does not describe"),
        (lambda f: (f / "config.json").write_text("[1]"), "config.json"),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xfe"), "config.json"),
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x00" * 100), "model.safetensors"),
        (
            lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-500]),
            "model.safetensors",
        ),
        (lambda f: (f / "tokenizer.json").write_text("[]"), "tokenizer.json"),
        (lambda f: shutil.rmtree(f / "vae"), "vae"),
    ],
)
def test_damage_is_named_in_one_line(folder, damage, message):
    damage(folder)
    with pytest.raises(ValueError, match=message) as caught:
        load_pretrained(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_parameters_that_do_not_fit_are_named(tmp_path, bundle, layout):
    save_pretrained(bundle, tmp_path, layout)
    begin = "vision.begin_embed" if layout == "janusflow" else "beg_of_und_embed"
    weights = load_file(tmp_path / "model.safetensors")
    for change, message in (
        ({begin: None}, f"missing {begin}"),
        ({"extra": torch.zeros(1)}, "unknown extra"),
        ({begin: torch.zeros(3)}, f"{begin} has shape \\(3,\\)"),
    ):
        changed = {name: value for name, value in (weights | change).items() if value is not None}
        save_file(changed, tmp_path / "model.safetensors")
        with pytest.raises(ValueError, match=message):
            load_pretrained(tmp_path)


def test_pickles_are_refused(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"a": torch.zeros(1)}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model.bin is a pickle"):
        load_pretrained(folder)


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd", 3, "absent.safetensors"])
def test_an_index_names_files_of_its_own_folder_only(folder, name):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(ValueError, match="index"):
        load_pretrained(folder)


def test_settings_that_the_model_cannot_have_are_named(tmp_path, bundle):
    save_pretrained(bundle, tmp_path, "deepseek")
    original = json.loads((tmp_path / "config.json").read_text())
    for part, key, value in (
        ("vision_gen_enc_config", "dropout", 0.1),
        ("vision_gen_dec_config", "norm_eps", 1e-3),
        ("vision_gen_dec_config", "in_channels", 99),
    ):
        values = json.loads(json.dumps(original))
        values[part]["params"][key] = value
        (tmp_path / "config.json").write_text(json.dumps(values))
        with pytest.raises(ValueError, match=f"{part}.params.{key} is {value}"):
            load_pretrained(tmp_path)
    del original["language_config"]
    (tmp_path / "config.json").write_text(json.dumps(original))
    with pytest.raises(ValueError, match="lacks 'language_config'"):
        load_pretrained(tmp_path)


@pytest.mark.parametrize("value", [0, 1.5, "wide"])
@pytest.mark.parametrize(
    "field",
    [
        *("llm.vocab_size", "llm.hidden_size", "llm.num_heads", "llm.num_kv_heads", "llm.num_layers"),
        *("vision.patch_size", "vision.width", "vision.depth", "vision.num_heads"),
        *("head.latent_size", "head.patch_size", "head.width"),
    ],
)
def test_sizes_that_no_model_can_have_are_named(tmp_path, bundle, field, value):
    save_pretrained(bundle, tmp_path)
    path = tmp_path / "config.json"
    values = json.loads(path.read_text())
    part, name = field.split(".")
    values["model"][part][name] = value
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=name) as caught:
        load_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_neither_folder_nor_hub_id_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no config.json"):
        load_pretrained(tmp_path / "nothing")
    with pytest.raises(ValueError, match="nowhere"):
        load_pretrained("nowhere")


def test_vae_refuses_fp16_and_says_why(folder):
    codec = load_pretrained(folder).required_codec
    with pytest.raises(ValueError, match="overflows"):
        codec.to(torch.device("cpu"), torch.float16)
    assert codec.to(torch.device("cpu"), torch.bfloat16).dtype == torch.bfloat16


def test_unknown_key_in_config_is_refused(tmp_path, bundle):
    folder = tmp_path
    save_pretrained(bundle, folder)
    values = json.loads((folder / "config.json").read_text())
    values["model"]["llm"]["hidden"] = 3
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match="hidden"):
        load_pretrained(folder)
