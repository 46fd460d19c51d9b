"""Folders of Janus and Janus-Pro: every layout is read back bit for bit, and the released files are understood."""

import dataclasses
import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoProcessor

from janusflow.checkpoints.codecs import load_codec
from janusflow.checkpoints.janus import DeepSeekJanusLayout
from janusflow.checkpoints.layouts import llm_params
from janusflow.checkpoints.pretrained import Bundle, load_pretrained, read_config, save_pretrained
from janusflow.checkpoints.transformers_janus import TransformersJanusLayout
from janusflow.cli import main
from janusflow.codecs.vq import VQCodec
from janusflow.data.template import ChatConfig
from janusflow.models.ar_head import ARHeadConfig
from janusflow.models.llm import LLMConfig
from janusflow.models.unified import ModelConfig, UnifiedModel
from janusflow.models.vision import VisionConfig
from tests.conftest import spread

FOREIGN = ("deepseek", "transformers")
LAYOUTS = ("janusflow", *FOREIGN)
DEEPSEEK, TRANSFORMERS = DeepSeekJanusLayout(), TransformersJanusLayout()


@pytest.fixture(params=LAYOUTS)
def folder(request, saved):
    return saved("janus", request.param)


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


def test_round_trip(folder, janus_bundle, tmp_path):
    loaded = load_pretrained(folder)
    transformers = json.loads((folder / "config.json").read_text()).get("model_type") == "janus"
    assert_equal(loaded, janus_bundle, pooling=not transformers)
    assert (loaded.chat, loaded.preprocessing) == (janus_bundle.chat, janus_bundle.preprocessing)
    assert loaded.model.config == dataclasses.replace(janus_bundle.model.config, losses={})
    assert not loaded.model.training and not loaded.codec.module.training
    other = VQCodec(spread(type(janus_bundle.codec.module)(janus_bundle.codec.module.config)))
    other.save(tmp_path / "other")
    changed = load_pretrained(folder, vae=tmp_path / "other", dtype=torch.bfloat16)
    assert changed.codec.digest == other.digest != janus_bundle.codec.digest, "another codec in the merged one's place"
    assert {p.dtype for p in changed.model.parameters()} == {torch.bfloat16}
    assert changed.codec.dtype == torch.float32, "codes and pixels, unless the stored type is asked for"


@pytest.mark.parametrize("layout", FOREIGN)
def test_import_export_import_in_the_stored_type(tmp_path, janus_bundle, layout):
    save_pretrained(janus_bundle, tmp_path / "first", layout, dtype=torch.bfloat16)
    assert {value.dtype for value in load_file(tmp_path / "first" / "model.safetensors").values()} == {torch.bfloat16}
    first = load_pretrained(tmp_path / "first", dtype="stored")
    weights = (*first.model.parameters(), *first.codec.module.parameters())
    assert {value.dtype for value in weights} == {torch.bfloat16}
    save_pretrained(first, tmp_path / "second", layout, shard_size="100KB")
    assert len(list((tmp_path / "second").glob("*.safetensors"))) > 1
    assert_equal(load_pretrained(tmp_path / "second", dtype="stored"), first)


def test_from_layout_to_layout(tmp_path, janus_bundle):
    """Once around; what transformers leaves out is zero from there on."""
    last = janus_bundle
    for number, layout in enumerate(("deepseek", "janusflow", "transformers", "deepseek")):
        save_pretrained(last, tmp_path / str(number), layout)
        last = load_pretrained(tmp_path / str(number))
    assert_equal(last, janus_bundle, pooling=False)
    assert last.model.config == dataclasses.replace(janus_bundle.model.config, losses={})


@pytest.mark.parametrize(("layout", "seeing", "drawing"), [("deepseek", 1, 3), ("transformers", 3, 1)])
def test_aligners_of_any_depth(tmp_path, tokenizer, tiny_vq, tiny_janus_config, layout, seeing, drawing):
    config = dataclasses.replace(
        tiny_janus_config,
        vision=dataclasses.replace(tiny_janus_config.vision, aligner_depth=seeing),
        head=dataclasses.replace(tiny_janus_config.head, aligner_depth=drawing),
    )
    deep = Bundle(spread(UnifiedModel(config)), tiny_vq, tokenizer)
    save_pretrained(deep, tmp_path, layout)
    assert_equal(load_pretrained(tmp_path), deep, pooling=layout == "deepseek")


@pytest.mark.parametrize("layout", FOREIGN)
def test_the_vq_tokenizer_alone(tmp_path, janus_bundle, layout):
    save_pretrained(janus_bundle, tmp_path, layout)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith(("lm_head", "language_model"))}
    save_file(kept, tmp_path / "model.safetensors")
    codec = load_codec(tmp_path)
    assert isinstance(codec, VQCodec) and codec.digest == janus_bundle.codec.digest
    assert codec.latent_shape(16) == (16,) and codec.dtype == torch.float32
    codes = codec.encode(torch.rand(1, 3, 16, 16) * 2 - 1)
    assert torch.equal(codec.decode(codes), janus_bundle.codec.decode(codes))


def test_a_loaded_model_draws_answers_and_is_exported(saved, janus_bundle, tmp_path, capsys):
    model = ["--model", str(saved("janus", "deepseek"))]
    picture = tmp_path / "picture.png"
    Image.effect_noise((20, 16), 60).convert("RGB").save(picture)
    drawing = ["generate", "a red circle", "--num-images", "1", "--temperature", "0", "--guidance", "5"]
    assert main([*drawing, *model, "--out", str(tmp_path / "out")]) == 0
    (path,) = (tmp_path / "out").glob("*.png")
    with Image.open(path) as image:
        assert image.size == (16, 16)
    assert main(["chat", str(picture), "what is it?", "--max-new-tokens", "4", *model]) == 0
    for layout in LAYOUTS:
        assert main(["export", model[1], str(tmp_path / layout), "--format", layout]) == 0
        assert load_codec(tmp_path / layout).digest == janus_bundle.codec.digest


# The released files.


def released_config(shared, name):
    return json.loads((shared / "data" / "configs" / f"{name}.config.INFERRED.json").read_text())


@pytest.mark.parametrize("name", ["janus-1.3b_and_pro-1b", "janus-pro-7b"])
def test_released_configurations(shared, name):
    values = released_config(shared, name)
    config, vq = DEEPSEEK.model_config(values, name), DEEPSEEK.vq_config(values, name)
    large = name == "janus-pro-7b"
    llm = LLMConfig(hidden_size=4096, intermediate_size=11_008, num_layers=30, num_heads=32, num_kv_heads=32)
    assert config == ModelConfig(
        llm if large else LLMConfig(),
        VisionConfig(aligner_depth=2, begin_embed=False),
        head=ARHeadConfig(head_width=4096 if large else 2048),
        losses={},
    )
    assert (vq.num_patches, vq.num_embeddings, vq.embed_dim) == (24, 16_384, 8)
    with torch.device("meta"):
        bundle = Bundle(UnifiedModel(config), None, None)  # type: ignore[arg-type]
    ours = DEEPSEEK.config_files(bundle, vq, "bfloat16")["config.json"]
    assert {key: ours[key] for key in ours if key != "language_config"} == {
        key: value for key, value in values.items() if key not in ("language_config", "transformers_version")
    }
    for layer in (values["language_config"], llm_params(config.llm)):
        assert layer.items() <= ours["language_config"].items()


def test_what_a_released_file_leaves_out_is_the_default_of_transformers(shared):
    values = released_config(shared, "janus-pro-7b")
    full = DEEPSEEK.model_config(values, "here")
    for key in ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"):
        del values["language_config"][key]
    assert DEEPSEEK.model_config(values, "here") == full


def test_families_are_told_apart(shared, tmp_path):
    for name, head in (("janus-pro-7b", "ar"), ("janusflow-1.3b", "flow")):
        (tmp_path / "config.json").write_text(json.dumps(released_config(shared, name)))
        assert read_config(tmp_path).model.head.kind == head


def test_a_sparse_configuration_of_older_transformers():
    """What the file leaves out is transformers' default: SigLIP-L and VQ-16. Rotary settings are in their old form."""
    text = {"model_type": "llama", "vocab_size": 102_400, "hidden_size": 2048, "intermediate_size": 5632}
    text |= {"num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16, "torch_dtype": "bfloat16"}
    text |= {"max_position_embeddings": 16_384, "rope_theta": 10_000.0, "rope_scaling": None}
    values = {"model_type": "janus", "text_config": text, "vision_config": {"model_type": "janus_vision_model"}}
    values["vq_config"] = {"model_type": "janus_vqgan", "num_patches": 24}
    assert TRANSFORMERS.model_config(values, "here") == ModelConfig(
        vision=VisionConfig(aligner_depth=2, begin_embed=False), head=ARHeadConfig(), losses={}
    )
    text["rope_scaling"] = {"rope_type": "linear", "factor": 2.0}
    with pytest.raises(ValueError, match="rope_type is 'linear'"):
        TRANSFORMERS.model_config(values, "here")


def test_the_unused_counter_may_be_absent_and_is_written(tmp_path, janus_bundle):
    save_pretrained(janus_bundle, tmp_path, "deepseek")
    weights = load_file(tmp_path / "model.safetensors")
    counter = weights.pop("gen_vision_model.quantize.codebook_used")
    assert counter.shape == (65_536,) and not counter.any()
    save_file(weights, tmp_path / "model.safetensors")
    assert_equal(load_pretrained(tmp_path), janus_bundle)


def test_output_embeddings(tmp_path, janus_bundle):
    """Those in the file count, whatever the configuration says; without them it must say that the input's do."""
    save_pretrained(janus_bundle, tmp_path, "transformers")
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["tie_word_embeddings"] is False
    del config["tie_word_embeddings"]  # which means tied
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert_equal(load_pretrained(tmp_path), janus_bundle, pooling=False)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    model = load_pretrained(tmp_path).model.llm.causal_lm
    assert torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)
    assert model.lm_head.weight.data_ptr() != model.model.embed_tokens.weight.data_ptr()
    (tmp_path / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    with pytest.raises(ValueError, match=r"lack lm_head.weight, and tie_word_embeddings is false"):
        load_pretrained(tmp_path)


@pytest.mark.parametrize("roles", [("User", "Assistant", ""), ("<|User|>", "<|Assistant|>", "Be brief.")])
def test_transformers_writes_conversations_as_we_do(tiny_janus, tiny_vq, tokenizer, tmp_path, roles):
    chat = ChatConfig(*roles)
    bundle = Bundle(tiny_janus, tiny_vq, tokenizer, chat)
    save_pretrained(bundle, tmp_path, "transformers")
    processor = AutoProcessor.from_pretrained(tmp_path)
    processor.num_image_tokens = bundle.model.head.num_tokens  # they write Janus's number whatever the model has
    processor.use_default_system_prompt = False
    image = Image.new("RGB", (16, 16))
    asked = {"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": "how many?"}]}
    answered = {"role": "assistant", "content": [{"type": "text", "text": "two"}]}
    again = {"role": "user", "content": [{"type": "text", "text": "what color?"}]}
    theirs = processor.apply_chat_template(
        [asked, answered, again], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    ours = bundle.template.conversation([("how many?", "two"), ("what color?", None)], images=1)
    assert theirs["input_ids"][0].tolist() == ours.ids
    assert load_pretrained(tmp_path).chat == chat
