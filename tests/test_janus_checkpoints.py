"""Folders of Janus and Janus-Pro: every layout is read back bit for bit; roles; damage is named."""

import dataclasses
import json
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer
from transformers import AutoProcessor

from janusflow import hf_janus, janus, processor_files
from janusflow.checkpoint import ASSETS, Bundle, load_pretrained, read_config, save_pretrained
from janusflow.cli import main
from janusflow.codecs import load_codec
from janusflow.data.template import ChatConfig
from janusflow.data.transforms import Preprocessing
from janusflow.models.ar_head import ARHeadConfig
from janusflow.models.llm import LLMConfig
from janusflow.models.unified import ModelConfig, UnifiedModel
from janusflow.models.vision import VisionConfig
from janusflow.models.vq import VQCodec
from janusflow.repa import RepaConfig
from tests.conftest import spread

FOREIGN = ("deepseek", "transformers")
LAYOUTS = ("janusflow", *FOREIGN)
PRO = ("<|User|>", "<|Assistant|>")


@pytest.fixture
def bundle(tiny_janus, tiny_vq, tokenizer):
    pixels = Preprocessing(min_side=3, normalize=False, mean=[0.1, 0.2, 0.3])
    return Bundle(tiny_janus, tiny_vq, tokenizer, ChatConfig("A", "B", "Be brief."), pixels)


@pytest.fixture(params=LAYOUTS)
def folder(request, tmp_path, bundle):
    save_pretrained(bundle, tmp_path / "model", request.param)
    return tmp_path / "model"


def unused(name):
    """What transformers' layout has no place for."""
    return name.startswith("vision.tower.attn_pool")


def assert_equal(got, wanted, pooling=True):
    """The same weights in models and VQ tokenizers, bit for bit."""
    for theirs, ours in ((got.model, wanted.model), (got.codec.module, wanted.codec.module)):
        assert theirs.state_dict().keys() == ours.state_dict().keys()
        for name, value in theirs.state_dict().items():
            expected = ours.state_dict()[name]
            if unused(name) and not pooling:
                expected = torch.zeros_like(expected)
            assert value.dtype == expected.dtype
            assert torch.equal(value, expected), name


def test_round_trip(folder, bundle):
    loaded = load_pretrained(folder)
    transformers = json.loads((folder / "config.json").read_text()).get("model_type") == "janus"
    assert_equal(loaded, bundle, pooling=not transformers)
    assert (loaded.chat, loaded.preprocessing) == (bundle.chat, bundle.preprocessing)
    assert loaded.model.config == bundle.model.config
    assert load_pretrained(folder, vae=None).codec is None
    assert not loaded.model.training and not loaded.codec.module.training


@pytest.mark.parametrize("layout", FOREIGN)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_import_export_import_in_the_stored_type(tmp_path, bundle, layout, dtype):
    save_pretrained(bundle, tmp_path / "first", layout, dtype=dtype)
    assert {value.dtype for value in load_file(tmp_path / "first" / "model.safetensors").values()} == {dtype}
    first = load_pretrained(tmp_path / "first", dtype="stored")
    assert {value.dtype for value in (*first.model.parameters(), *first.codec.module.parameters())} == {dtype}
    save_pretrained(first, tmp_path / "second", layout, shard_size="100KB")
    assert len(list((tmp_path / "second").glob("*.safetensors"))) > 1
    assert_equal(load_pretrained(tmp_path / "second", dtype="stored"), first)


def test_from_layout_to_layout(tmp_path, bundle):
    """Once around; what transformers leaves out is zero from there on."""
    last = bundle
    for number, layout in enumerate(("deepseek", "janusflow", "transformers", "deepseek")):
        save_pretrained(last, tmp_path / str(number), layout)
        last = load_pretrained(tmp_path / str(number))
    assert_equal(last, bundle, pooling=False)
    assert last.model.config == bundle.model.config


@pytest.mark.parametrize("layout", FOREIGN)
@pytest.mark.parametrize(("seeing", "drawing"), [(1, 1), (3, 2), (2, 3)])
def test_aligners_of_any_depth(tmp_path, tokenizer, tiny_vq, tiny_janus_config, layout, seeing, drawing):
    config = dataclasses.replace(
        tiny_janus_config,
        vision=dataclasses.replace(tiny_janus_config.vision, aligner_depth=seeing),
        ar_head=dataclasses.replace(tiny_janus_config.ar_head, aligner_depth=drawing),
    )
    deep = Bundle(spread(UnifiedModel(config)), tiny_vq, tokenizer)
    save_pretrained(deep, tmp_path, layout)
    assert_equal(load_pretrained(tmp_path), deep, pooling=layout == "deepseek")


def test_precision_of_the_vq_tokenizer(folder):
    """bf16 is the model's; codes and pixels are computed in fp32 unless the stored type is asked for."""
    loaded = load_pretrained(folder, dtype=torch.bfloat16)
    assert {p.dtype for p in loaded.model.parameters()} == {torch.bfloat16}
    assert loaded.codec.dtype == torch.float32


def test_another_codec_in_the_place_of_the_merged_one(tmp_path, bundle, folder):
    other = VQCodec(spread(type(bundle.codec.module)(bundle.codec.module.config)))
    other.save(tmp_path / "other")
    loaded = load_pretrained(folder, vae=tmp_path / "other")
    assert loaded.codec.digest == other.digest != bundle.codec.digest


@pytest.mark.parametrize("layout", FOREIGN)
def test_the_vq_tokenizer_alone(tmp_path, bundle, layout):
    save_pretrained(bundle, tmp_path, layout)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith(("lm_head", "language_model"))}
    save_file(kept, tmp_path / "model.safetensors")
    codec = load_codec(tmp_path)
    assert isinstance(codec, VQCodec) and codec.digest == bundle.codec.digest
    assert codec.latent_shape(16) == (16,) and codec.dtype == torch.float32
    codes = codec.encode(torch.rand(1, 3, 16, 16) * 2 - 1)
    assert torch.equal(codec.decode(codes), bundle.codec.decode(codes))


def test_a_loaded_model_draws_and_answers(folder, bundle, tmp_path, capsys):
    Image.effect_noise((20, 16), 60).convert("RGB").save(tmp_path / "picture.png")
    drawing = ["generate", "a red circle", "--num-images", "1", "--temperature", "0", "--guidance", "5"]
    assert main([*drawing, "--model", str(folder), "--out", str(tmp_path / "out")]) == 0
    (path,) = (tmp_path / "out").glob("*.png")
    with Image.open(path) as image:
        assert image.size == (16, 16)
    assert (
        main(["chat", str(tmp_path / "picture.png"), "what is it?", "--max-new-tokens", "4", "--model", str(folder)])
        == 0
    )
    capsys.readouterr()
    for layout in LAYOUTS:
        out = tmp_path / layout
        assert main(["export", str(folder), str(out), "--format", layout]) == 0
        assert load_pretrained(out).codec.digest == bundle.codec.digest


# The released files.


def released_config(shared, name):
    return json.loads((shared / "data" / "configs" / f"{name}.config.INFERRED.json").read_text())


@pytest.mark.parametrize("name", ["janus-1.3b_and_pro-1b", "janus-pro-7b"])
def test_released_configurations(shared, name):
    values = released_config(shared, name)
    config, vq = janus.read_model_config(values, name), janus.read_vq_config(values, name)
    large = name == "janus-pro-7b"
    llm = LLMConfig(hidden_size=4096, intermediate_size=11_008, num_layers=30, num_heads=32, num_kv_heads=32)
    assert config == ModelConfig(
        llm if large else LLMConfig(),
        VisionConfig(aligner_depth=2, begin_embed=False),
        head="ar",
        ar_head=ARHeadConfig(head_width=4096 if large else 2048),
        repa=RepaConfig(enabled=False),
    )
    assert (vq.num_patches, vq.num_embeddings, vq.embed_dim) == (24, 16_384, 8)
    ours = janus.config_files(config, vq, ChatConfig(), Preprocessing(), "bfloat16")["config.json"]
    assert {key: ours[key] for key in ours if key != "language_config"} == {
        key: value for key, value in values.items() if key not in ("language_config", "transformers_version")
    }
    for layer in (values["language_config"], janus.deepseek.llm_params(config.llm)):
        assert layer.items() <= ours["language_config"].items()


def test_what_a_released_file_leaves_out_is_the_default_of_transformers(shared):
    values = released_config(shared, "janus-pro-7b")
    full = janus.read_model_config(values, "here")
    for key in ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"):
        del values["language_config"][key]
    assert janus.read_model_config(values, "here") == full


def test_families_are_told_apart(shared, tmp_path):
    for name, head in (("janus-pro-7b", "ar"), ("janusflow-1.3b", "flow")):
        (tmp_path / "config.json").write_text(json.dumps(released_config(shared, name)))
        assert read_config(tmp_path).model.head == head


# Roles.


def forget_roles(folder):
    path = folder / "processor_config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in values.items() if "role" not in key}))
    return folder


def with_token(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken("<|User|>", special=True)])
    tokenizer.save(str(folder / "tokenizer.json"))


TEMPLATE = "{% for m in messages %}<|User|>: {{ m }}{% endfor %}"


def add_field(folder, name, template):
    path = folder / name
    values = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**values, "chat_template": template}))


@pytest.mark.parametrize("layout", FOREIGN)
@pytest.mark.parametrize(
    ("change", "pro"),
    [
        (lambda f: None, False),
        (with_token, True),
        (lambda f: (f / "chat_template.jinja").write_text(TEMPLATE), True),
        (lambda f: add_field(f, "chat_template.json", TEMPLATE), True),
        (lambda f: add_field(f, "processor_config.json", TEMPLATE), True),
        (lambda f: add_field(f, "tokenizer_config.json", TEMPLATE), True),
        (lambda f: add_field(f, "tokenizer_config.json", [{"name": "default", "template": TEMPLATE}]), True),
        (lambda f: (with_token(f), add_field(f, "chat_template.json", "User: {{ m }}")), False),
    ],
)
def test_roles_without_a_statement(tmp_path, bundle, layout, change, pro):
    config = bundle.model.config
    roomy = UnifiedModel(dataclasses.replace(config, llm=dataclasses.replace(config.llm, vocab_size=512)))
    folder = tmp_path / "model"
    save_pretrained(dataclasses.replace(bundle, model=roomy), folder, layout)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    change(forget_roles(folder))
    chat = load_pretrained(folder, vae=None).chat
    assert (chat.user, chat.assistant) == (PRO if pro else ("User", "Assistant"))
    assert chat.system == "Be brief."


@pytest.mark.parametrize(
    ("path", "pro"),
    [
        ("Janus-Pro-1B", True),
        ("my-janus-pro-7b-tuned", True),
        ("models--deepseek-ai--Janus-Pro-1B/snapshots/0123abc", True),
        ("models--deepseek-ai--Janus-1.3B/snapshots/0123abc", False),
        ("janus-pro-experiments/janus-1.3b", False),
        ("Janus-1.3B", False),
    ],
)
def test_roles_by_name(tmp_path, bundle, monkeypatch, path, pro):
    save_pretrained(bundle, tmp_path / path, "deepseek")
    forget_roles(tmp_path / path)
    expected = PRO if pro else ("User", "Assistant")
    chat = load_pretrained(tmp_path / path, vae=None).chat
    assert (chat.user, chat.assistant) == expected
    monkeypatch.chdir(tmp_path / path)
    chat = load_pretrained(".", vae=None).chat
    assert (chat.user, chat.assistant) == expected


def test_stated_roles_count_more_than_all_else(tmp_path, bundle):
    folder = tmp_path / "Janus-Pro-1B"
    save_pretrained(bundle, folder, "transformers")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    assert load_pretrained(folder, vae=None).chat == bundle.chat


def test_pixel_settings_inside_the_processor_file(tmp_path, bundle):
    save_pretrained(bundle, tmp_path, "transformers")
    values = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").unlink()
    path = tmp_path / "processor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "image_processor": values}))
    assert processor_files.read_preprocessing(tmp_path) == bundle.preprocessing


def test_transformers_reads_the_exported_processor(tmp_path, bundle):
    plain = dataclasses.replace(bundle, preprocessing=Preprocessing())
    save_pretrained(plain, tmp_path, "transformers")
    theirs = AutoProcessor.from_pretrained(tmp_path)
    picture = Image.effect_noise((16, 16), 60).convert("RGB")
    got = theirs(text="<image_placeholder> what is it?", images=picture)
    special = bundle.tokenizer
    image = [special.boi, *[special.image] * 16, special.eoi]
    assert got["input_ids"][0].tolist() == [*image, *special.encode(" what is it?")]
    assert got["pixel_values"].shape == (1, 3, 16, 16)
    assert theirs(text="a", generation_mode="image")["input_ids"][0, -1] == special.boi


# Damage.


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
def test_damage_is_named_in_one_line(tmp_path, bundle, layout, damage, message):
    save_pretrained(bundle, tmp_path, layout)
    damage(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        load_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_own_layout_without_its_vq_tokenizer(tmp_path, bundle):
    save_pretrained(bundle, tmp_path)
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
def test_parameters_that_do_not_fit_are_named(tmp_path, bundle, layout, name):
    save_pretrained(bundle, tmp_path, layout)
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


def test_the_unused_counter_may_be_absent_and_is_written(tmp_path, bundle):
    save_pretrained(bundle, tmp_path, "deepseek")
    weights = load_file(tmp_path / "model.safetensors")
    counter = weights.pop("gen_vision_model.quantize.codebook_used")
    assert counter.shape == (65_536,) and not counter.any()
    save_file(weights, tmp_path / "model.safetensors")
    assert_equal(load_pretrained(tmp_path), bundle)


def test_output_embeddings(tmp_path, bundle):
    """Those in the file count, whatever the configuration says; without them it must say that the input's do."""
    save_pretrained(bundle, tmp_path, "transformers")
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["tie_word_embeddings"] is False
    del config["tie_word_embeddings"]  # which means tied
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert_equal(load_pretrained(tmp_path), bundle, pooling=False)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    model = load_pretrained(tmp_path).model.llm.causal_lm
    assert torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)
    assert model.lm_head.weight.data_ptr() != model.model.embed_tokens.weight.data_ptr()
    (tmp_path / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    with pytest.raises(ValueError, match=r"lack lm_head.weight, and tie_word_embeddings is false"):
        load_pretrained(tmp_path)


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
def test_settings_that_the_model_cannot_have_are_named(tmp_path, bundle, layout, setting, value):
    save_pretrained(bundle, tmp_path, layout)
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


@pytest.mark.parametrize("layout", FOREIGN)
def test_missing_and_impossible_fields_are_named(tmp_path, bundle, layout):
    save_pretrained(bundle, tmp_path, layout)
    values = json.loads((tmp_path / "config.json").read_text())
    part = "aligner_config" if layout == "deepseek" else "vision_config"
    for changed in (
        {key: value for key, value in values.items() if key != part},
        {**values, part: 3},
        {**values, "vision_config": {**values["vision_config"], "params": {}, "image_size": "large"}},
    ):
        (tmp_path / "config.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError) as caught:
            load_pretrained(tmp_path)
        assert "\n" not in str(caught.value)


# What a layout cannot say.


def test_a_flow_model_has_no_place_in_transformers(tmp_path, tiny_model, tokenizer):
    with pytest.raises(ValueError, match="transformers has no JanusFlow"):
        save_pretrained(Bundle(tiny_model, None, tokenizer), tmp_path / "out", "transformers")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "layouts", "message"),
    [
        ({"llm": {"qk_norm": True}}, FOREIGN, "query-key norm"),
        ({"vision": {"begin_embed": True}}, FOREIGN, "begin-of-image"),
        ({"ar_head": {"head_width": 48}}, ("transformers",), "48 against 32"),
        ({"ar_head": {"codebook_size": 32}}, FOREIGN, "64 x 8 against 32 x 8"),
        ({"ar_head": {"code_channels": 4}}, FOREIGN, "64 x 8 against 64 x 4"),
        ({"und_encoder": "shared"}, FOREIGN, "no shared encoder"),
    ],
)
def test_models_that_a_layout_cannot_hold(tmp_path, bundle, change, layouts, message):
    config = bundle.model.config
    parts = {
        key: dataclasses.replace(getattr(config, key), **value) if isinstance(value, dict) else value
        for key, value in change.items()
    }
    other = dataclasses.replace(bundle, model=UnifiedModel(dataclasses.replace(config, **parts)))
    for layout in layouts:
        with pytest.raises(ValueError, match=message):
            save_pretrained(other, tmp_path / "out", layout)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("layout", FOREIGN)
def test_the_vq_tokenizer_must_be_there_and_fit(tmp_path, bundle, layout):
    with pytest.raises(ValueError, match="load the model with it"):
        save_pretrained(dataclasses.replace(bundle, codec=None), tmp_path / "out", layout)


def test_codecs_of_the_other_kind_are_refused(tmp_path, bundle, tiny_model):
    save_pretrained(bundle, tmp_path / "janus")
    with pytest.raises(ValueError, match="draws with a VQ tokenizer, the image codec is a VAE"):
        load_pretrained(tmp_path / "janus", vae=ASSETS / "shapes" / "vae")
    save_pretrained(Bundle(tiny_model, None, bundle.tokenizer), tmp_path / "flow")
    with pytest.raises(ValueError, match="draws with a VAE, the image codec is a VQ tokenizer"):
        load_pretrained(tmp_path / "flow", vae=tmp_path / "janus" / "vq")


def test_key_maps_are_reversible(bundle):
    config = bundle.model.config
    for names, keys in (
        (bundle.model.state_dict(), janus.model_keys(config)),
        (bundle.codec.module.state_dict(), janus.VQ_KEYS),
        (bundle.codec.module.state_dict(), hf_janus.VQ_KEYS),
    ):
        assert all(keys.ours(keys.stored(name)) == name for name in names)
        assert len({keys.stored(name) for name in names}) == len(names)


def test_a_sparse_configuration_of_older_transformers():
    """What the file leaves out is transformers' default: SigLIP-L and VQ-16. Rotary settings are in their old form."""
    text = {"model_type": "llama", "vocab_size": 102_400, "hidden_size": 2048, "intermediate_size": 5632}
    text |= {"num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16, "torch_dtype": "bfloat16"}
    text |= {"max_position_embeddings": 16_384, "rope_theta": 10_000.0, "rope_scaling": None}
    values = {"model_type": "janus", "text_config": text, "vision_config": {"model_type": "janus_vision_model"}}
    values["vq_config"] = {"model_type": "janus_vqgan", "num_patches": 24}
    assert hf_janus.read_model_config(values, "here") == ModelConfig(
        vision=VisionConfig(aligner_depth=2, begin_embed=False), head="ar", repa=RepaConfig(enabled=False)
    )
    text["rope_scaling"] = {"rope_type": "linear", "factor": 2.0}
    with pytest.raises(ValueError, match="rope_type is 'linear'"):
        hf_janus.read_model_config(values, "here")
