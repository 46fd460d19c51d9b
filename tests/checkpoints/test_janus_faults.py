"""Folders of Janus: damage, settings that we lack and models that a layout cannot hold are named in one line."""

import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from janusflow.checkpoints.pretrained import Bundle, load_pretrained, save_pretrained
from janusflow.models.unified import UnifiedModel
from janusflow.weights import ASSETS

FOREIGN = ("deepseek", "transformers")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "config.json").write_text("{"), "config.json"),
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x00" * 100), "model.safetensors"),
        (
            lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-500]),
            "model.safetensors",
        ),
        (lambda f: (f / "tokenizer.json").write_text("[]"), "tokenizer.json"),
        (lambda f: (f / "processor_config.json").write_text("[]"), "processor_config.json"),
        (
            lambda f: (torch.save({}, f / "pytorch_model.bin"), (f / "model.safetensors").unlink()),
            "pytorch_model.bin is a pickle",
        ),
    ],
)
@pytest.mark.parametrize("layout", FOREIGN)
def test_damage_is_named_in_one_line(tmp_path, janus_bundle, layout, damage, message):
    save_pretrained(janus_bundle, tmp_path, layout)
    damage(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        load_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_own_layout_without_its_vq_tokenizer(tmp_path, janus_bundle):
    save_pretrained(janus_bundle, tmp_path)
    shutil.rmtree(tmp_path / "vq")
    with pytest.raises(ValueError, match="vq"):
        load_pretrained(tmp_path)


PARAMETERS = {
    "deepseek": (
        "gen_embed.weight",
        "aligner.layers.2.bias",
        "vision_model.vision_tower.blocks.1.attn.qkv.weight",
        "language_model.lm_head.weight",
        "gen_vision_model.encoder.conv_blocks.2.res.0.conv1.weight",
        "gen_vision_model.quantize.embedding.weight",
    ),
    "transformers": (
        "model.generation_embeddings.weight",
        "model.aligner.hidden_layers.0.bias",
        "model.vision_model.encoder.layers.1.self_attn.k_proj.weight",
        "model.vision_model.embeddings.position_embedding.weight",
        "model.vqmodel.decoder.up.0.block.1.conv1.weight",
    ),
}


@pytest.mark.parametrize(("layout", "name"), [(layout, name) for layout in FOREIGN for name in PARAMETERS[layout]])
def test_parameters_that_do_not_fit_are_named(tmp_path, janus_bundle, layout, name):
    save_pretrained(janus_bundle, tmp_path, layout)
    weights = load_file(tmp_path / "model.safetensors")
    for change, message in (
        ({name: None}, f"missing {name}"),
        ({f"{name}.extra": torch.zeros(1)}, f"unknown {name}.extra"),
        ({name: torch.zeros(3, 5)}, rf"{name} has shape \(3, 5\)"),
    ):
        changed = {key: value for key, value in (weights | change).items() if value is not None}
        save_file(changed, tmp_path / "model.safetensors")
        with pytest.raises(ValueError, match=message) as caught:
            load_pretrained(tmp_path)
        assert "\n" not in str(caught.value)


SETTINGS = {
    "deepseek": [
        ("aligner_config.params.projector_type", "linear"),
        ("gen_aligner_config.params.projector_type", "identity"),
        ("gen_vision_config.cls", "VQ-8"),
        ("gen_head_config.cls", "other"),
        ("vision_config.params.model_name", "vit"),
        ("gen_aligner_config.params.input_dim", 9),
        ("gen_head_config.params.image_token_size", 65),
        ("aligner_config.params.n_embed", 33),
        ("language_config.model_type", "qwen"),
        ("language_config.tie_word_embeddings", True),
    ],
    "transformers": [
        ("text_config.hidden_act", "relu"),
        ("vision_config.use_qk_norm", True),
        ("vision_config.layer_norm_eps", 1e-5),
        ("vision_config.projection_dim", 64),
        ("vq_config.double_latent", True),
        ("vq_config.projection_dim", 64),
    ],
}


@pytest.mark.parametrize(
    ("layout", "setting", "value"), [(layout, *pair) for layout in FOREIGN for pair in SETTINGS[layout]]
)
def test_settings_that_the_model_cannot_have_are_named(tmp_path, janus_bundle, layout, setting, value):
    save_pretrained(janus_bundle, tmp_path, layout)
    values = json.loads((tmp_path / "config.json").read_text())
    *path, last = setting.split(".")
    inner = values
    for key in path:
        inner = inner[key]
    inner[last] = value
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=last if last != "model_name" else "vision tower") as caught:
        load_pretrained(tmp_path)
    assert repr(value) in str(caught.value) and "\n" not in str(caught.value)


def zeroed(values):
    """A configuration with no size left."""
    return {
        key: zeroed(value) if isinstance(value, dict) else 0 if isinstance(value, int) else value
        for key, value in values.items()
    }


@pytest.mark.parametrize("layout", FOREIGN)
def test_missing_and_impossible_fields_are_named(tmp_path, janus_bundle, layout):
    save_pretrained(janus_bundle, tmp_path, layout)
    values = json.loads((tmp_path / "config.json").read_text())
    part = "aligner_config" if layout == "deepseek" else "vision_config"
    llm = "language_config" if layout == "deepseek" else "text_config"
    vq = "gen_vision_config" if layout == "deepseek" else "vq_config"
    for changed in (
        {key: value for key, value in values.items() if key != part},
        {**values, llm: {**values[llm], "num_attention_heads": 0}},
        {**values, llm: {**values[llm], "vocab_size": None}},
        {**values, vq: zeroed(values[vq])},
        {**values, part: 3},
        {**values, "vision_config": {**values["vision_config"], "params": {}, "image_size": "large"}},
    ):
        (tmp_path / "config.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError) as caught:
            load_pretrained(tmp_path)
        assert "\n" not in str(caught.value)


def test_a_flow_model_has_no_place_in_transformers(tmp_path, tiny_model, tokenizer):
    with pytest.raises(ValueError, match="no models with this head; choose from janusflow, deepseek"):
        save_pretrained(Bundle(tiny_model, None, tokenizer), tmp_path / "out", "transformers")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "layouts", "message"),
    [
        ({"llm": {"qk_norm": True}}, FOREIGN, "query-key norm"),
        ({"vision": {"begin_embed": True}}, FOREIGN, "begin-of-image"),
        ({"head": {"head_width": 48}}, ("transformers",), "48 against 32"),
        ({"head": {"codebook_size": 32}}, FOREIGN, "64 x 8 against 32 x 8"),
        ({"head": {"code_channels": 4}}, FOREIGN, "64 x 8 against 64 x 4"),
        ({"und_encoder": "shared"}, FOREIGN, "no shared encoder"),
    ],
)
def test_models_that_a_layout_cannot_hold(tmp_path, janus_bundle, change, layouts, message):
    config = janus_bundle.model.config
    parts = {
        key: dataclasses.replace(getattr(config, key), **value) if isinstance(value, dict) else value
        for key, value in change.items()
    }
    other = dataclasses.replace(janus_bundle, model=UnifiedModel(dataclasses.replace(config, **parts)))
    for layout in layouts:
        with pytest.raises(ValueError, match=message):
            save_pretrained(other, tmp_path / "out", layout)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("layout", FOREIGN)
def test_the_vq_tokenizer_must_be_there_and_fit(tmp_path, janus_bundle, layout):
    with pytest.raises(ValueError, match="load the model with it"):
        save_pretrained(dataclasses.replace(janus_bundle, codec=None), tmp_path / "out", layout)


def test_codecs_of_the_other_kind_are_refused(tmp_path, janus_bundle, tiny_model):
    save_pretrained(janus_bundle, tmp_path / "janus")
    with pytest.raises(ValueError, match="draws with a VQ tokenizer, the image codec is a VAE"):
        load_pretrained(tmp_path / "janus", vae=ASSETS / "shapes" / "vae")
    save_pretrained(Bundle(tiny_model, None, janus_bundle.tokenizer), tmp_path / "flow")
    with pytest.raises(ValueError, match="draws with a VAE, the image codec is a VQ tokenizer"):
        load_pretrained(tmp_path / "flow", vae=tmp_path / "janus" / "vq")
