"""Damage, settings that we lack and models that a layout cannot hold are named in one line."""

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
INDEX = "model.safetensors.index.json"


def pickled(folder):
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def indexed(name):
    return lambda folder: (folder / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))


def edited(change):
    """A damage that changes the values of ``config.json``."""

    def damage(folder):
        path = folder / "config.json"
        values = json.loads(path.read_text())
        change(values)
        path.write_text(json.dumps(values))

    return damage


def setting(name, value):
    """A damage that gives ``config.json`` another value at a dotted place."""

    def change(values):
        *path, last = name.split(".")
        for key in path:
            values = values[key]
        values[last] = value

    return edited(change)


def zeroed(values):
    """A configuration with no size left."""
    return {
        key: zeroed(value) if isinstance(value, dict) else 0 if isinstance(value, int) else value
        for key, value in values.items()
    }


def weights(name, number):
    """In turn a damage that changes the shape of a tensor, takes it out, or adds another; and what is said of it."""
    change, message = (
        ({name: torch.zeros(3, 5)}, rf"{name} has shape \(3, 5\)"),
        ({name: None}, f"missing {name}"),
        ({f"{name}.extra": torch.zeros(1)}, f"unknown {name}.extra"),
    )[number % 3]

    def damage(folder):
        path = folder / "model.safetensors"
        changed = {key: value for key, value in (load_file(path) | change).items() if value is not None}
        save_file(changed, path)

    return damage, message


FILES = [  # a damage, and what the error names
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
    (pickled, "pytorch_model.bin is a pickle"),
    *((indexed(name), "index") for name in ("../outside.safetensors", "/etc/passwd", 3, "absent.safetensors")),
]
SIZES = {  # that no model can have: in turn nothing, a fraction and a word
    "llm": ("vocab_size", "hidden_size", "num_heads", "num_kv_heads", "num_layers"),
    "vision": ("patch_size", "width", "depth", "num_heads"),
    "head": ("latent_size", "patch_size", "width"),
}
PARAMETERS = {
    ("flow", "janusflow"): ("vision.begin_embed",),
    ("flow", "deepseek"): ("beg_of_und_embed",),
    ("janus", "deepseek"): (
        "gen_embed.weight",
        "aligner.layers.2.bias",
        "gen_vision_model.encoder.conv_blocks.2.res.0.conv1.weight",
    ),
    ("janus", "transformers"): (
        "model.generation_embeddings.weight",
        "model.aligner.hidden_layers.0.bias",
        "model.vision_model.encoder.layers.1.self_attn.k_proj.weight",
        "model.vqmodel.decoder.up.0.block.1.conv1.weight",
    ),
}
SETTINGS = {
    ("flow", "deepseek"): (
        ("vision_gen_enc_config.params.dropout", 0.1),
        ("vision_gen_dec_config.params.norm_eps", 1e-3),
        ("vision_gen_dec_config.params.in_channels", 99),
    ),
    ("janus", "deepseek"): (
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
    ),
    ("janus", "transformers"): (
        ("text_config.hidden_act", "relu"),
        ("vision_config.use_qk_norm", True),
        ("vision_config.layer_norm_eps", 1e-5),
        ("vision_config.projection_dim", 64),
        ("vq_config.double_latent", True),
        ("vq_config.projection_dim", 64),
    ),
}
NAMES = {"deepseek": ("aligner", "language", "gen_vision"), "transformers": ("vision", "text", "vq")}


def impossible(layout):
    """Damages of Janus's ``config.json``: missing parts and impossible sizes."""
    part, llm, vq = (f"{name}_config" for name in NAMES[layout])
    yield edited(lambda values: values.pop(part))
    yield setting(f"{llm}.num_attention_heads", 0)
    yield setting(f"{llm}.vocab_size", None)
    yield edited(lambda values: values.update({vq: zeroed(values[vq])}))
    yield setting(part, 3)
    yield edited(lambda values: values["vision_config"].update(params={}, image_size="large"))


TABLE = [
    *(("flow", "janusflow", *row) for row in FILES),
    *(
        ("janus", layout, lambda f: (f / "processor_config.json").write_text("[]"), "processor_conf")
        for layout in FOREIGN
    ),
    ("flow", "janusflow", lambda f: shutil.rmtree(f / "vae"), "no image codec at .*vae"),
    ("flow", "deepseek", lambda f: shutil.rmtree(f / "vae"), "sdxl-vae"),
    ("janus", "janusflow", lambda f: shutil.rmtree(f / "vq"), "no image codec at .*vq"),
    ("flow", "janusflow", setting("model.llm.hidden", 3), "hidden"),
    ("flow", "deepseek", edited(lambda values: values.pop("language_config")), "lacks 'language_config'"),
    *(
        ("flow", "janusflow", setting(f"model.{part}.{name}", (0, 1.5, "wide")[number % 3]), name)
        for part, fields in SIZES.items()
        for number, name in enumerate(fields)
    ),
    *((*key, *weights(name, number)) for key, names in PARAMETERS.items() for number, name in enumerate(names)),
    *(
        (*key, setting(name, value), "vision tower" if "model_name" in name else rf"{name}.* is {value!r}")
        for key, settings in SETTINGS.items()
        for name, value in settings
    ),
    *(("janus", layout, damage, ".") for layout in FOREIGN for damage in impossible(layout)),
]


@pytest.mark.parametrize(("model", "layout", "damage", "message"), TABLE)
def test_damage_is_named_in_one_line(saved, model, layout, damage, message):
    folder = saved(model, layout)
    damage(folder)
    with pytest.raises(ValueError, match=message) as caught:
        load_pretrained(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["nowhere", "./nothing/here"])
def test_what_is_neither_folder_nor_hub_id_is_named(path):
    with pytest.raises(ValueError, match=f"no model at {path}: there is no config.json"):
        load_pretrained(path)


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


def test_bundles_that_a_layout_cannot_hold(tmp_path, janus_bundle, tiny_model):
    flow = Bundle(tiny_model, None, janus_bundle.tokenizer)
    for bundle, layout, message in (
        (flow, "transformers", "no models with this head; choose from janusflow, deepseek"),
        (flow, "pickle", "unknown format 'pickle'; choose from janusflow, deepseek"),
        (dataclasses.replace(janus_bundle, codec=None), "deepseek", "load the model with it"),
        (dataclasses.replace(janus_bundle, codec=None), "transformers", "load the model with it"),
    ):
        with pytest.raises(ValueError, match=message):
            save_pretrained(bundle, tmp_path / "out", layout)
    assert not (tmp_path / "out").exists()


def test_codecs_of_the_other_kind_are_refused(tmp_path, saved, tiny_model, tokenizer):
    janus = saved("janus", "janusflow")
    with pytest.raises(ValueError, match="draws with a VQ tokenizer, the image codec is a VAE"):
        load_pretrained(janus, vae=ASSETS / "shapes" / "vae")
    save_pretrained(Bundle(tiny_model, None, tokenizer), tmp_path / "flow")
    with pytest.raises(ValueError, match="draws with a VAE, the image codec is a VQ tokenizer"):
        load_pretrained(tmp_path / "flow", vae=janus / "vq")
