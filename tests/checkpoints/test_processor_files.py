"""Chat roles and pixel settings of checkpoints, as their files state or imply them."""

import dataclasses
import json

import pytest
from PIL import Image
from tokenizers import AddedToken, Tokenizer
from transformers import AutoProcessor, AutoTokenizer

from janusflow.checkpoints import processor_files
from janusflow.checkpoints.pretrained import load_pretrained, save_pretrained
from janusflow.cli import main
from janusflow.codecs.vae import LatentCodec
from janusflow.data.template import ChatConfig
from janusflow.data.transforms import Preprocessing
from janusflow.models.unified import UnifiedModel
from janusflow.weights import ASSETS

FOREIGN = ("deepseek", "transformers")
PRO = ("<|User|>", "<|Assistant|>")


def forget_roles(folder):
    (folder / "janusflow.json").unlink()
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


NOTHING = lambda f: None  # noqa: E731
ROLES = [  # a folder's name, what is in it, and whether it is a Janus-Pro
    ("model", NOTHING, False),
    ("model", with_token, True),
    ("model", lambda f: (f / "chat_template.jinja").write_text(TEMPLATE), True),
    ("model", lambda f: add_field(f, "chat_template.json", TEMPLATE), True),
    ("model", lambda f: add_field(f, "processor_config.json", TEMPLATE), True),
    ("model", lambda f: add_field(f, "tokenizer_config.json", TEMPLATE), True),
    ("model", lambda f: add_field(f, "tokenizer_config.json", [{"name": "default", "template": TEMPLATE}]), True),
    ("model", lambda f: (with_token(f), add_field(f, "chat_template.json", "User: {{ m }}")), False),
    ("Janus-1.3B", with_token, False),  # a release's name counts more than its tokenizer
    ("Janus-Pro-1B", NOTHING, True),
    ("my-janus-pro-7b-tuned", NOTHING, True),
    ("models--deepseek-ai--Janus-Pro-1B/snapshots/0123abc", NOTHING, True),
    ("models--deepseek-ai--Janus-1.3B/snapshots/0123abc", NOTHING, False),
    ("janus-pro-experiments/janus-1.3b", NOTHING, False),
]


@pytest.mark.parametrize(("name", "change", "pro"), ROLES)
def test_roles_without_a_statement(tmp_path, janus_bundle, monkeypatch, name, change, pro):
    config = janus_bundle.model.config
    roomy = UnifiedModel(dataclasses.replace(config, llm=dataclasses.replace(config.llm, vocab_size=704)))
    save_pretrained(dataclasses.replace(janus_bundle, model=roomy), tmp_path / name, "transformers")
    (tmp_path / name / "chat_template.json").unlink()
    change(forget_roles(tmp_path / name))
    monkeypatch.chdir(tmp_path / name)
    for place in (tmp_path / name, "."):
        chat = load_pretrained(place, vae=None).chat
        assert (chat.user, chat.assistant) == (PRO if pro else ("User", "Assistant"))
        assert chat.system == processor_files.RELEASED_SYSTEM


def test_stated_roles_count_more_than_all_else(tmp_path, janus_bundle):
    folder = tmp_path / "Janus-Pro-1B"
    save_pretrained(janus_bundle, folder, "transformers")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    assert load_pretrained(folder, vae=None).chat == janus_bundle.chat


@pytest.mark.parametrize("layout", FOREIGN)
def test_a_system_prompt_without_a_statement_is_the_released_one(tmp_path, janus_bundle, layout):
    """transformers' processor can say that there is none."""
    save_pretrained(janus_bundle, tmp_path, layout)
    path = forget_roles(tmp_path) / "processor_config.json"
    values = json.loads(path.read_text())
    for stated, expected in ((None, True), (True, True), (False, False)):
        path.write_text(json.dumps(values | ({} if stated is None else {"use_default_system_prompt": stated})))
        system = processor_files.RELEASED_SYSTEM if expected else ""
        assert processor_files.read_chat(tmp_path).system == system


@pytest.mark.parametrize("layout", FOREIGN)
def test_earlier_exports_state_the_chat_format_among_the_processors_fields(tmp_path, janus_bundle, layout):
    save_pretrained(janus_bundle, tmp_path, layout)
    path = forget_roles(tmp_path) / "processor_config.json"
    stated = {"user_role": "A", "assistant_role": "B", "system_prompt": "Be brief."}
    path.write_text(json.dumps(json.loads(path.read_text()) | stated))
    assert processor_files.read_chat(tmp_path) == janus_bundle.chat


@pytest.mark.parametrize("chat", [[], {"user": 3}, {"bot": "B"}])
def test_a_chat_format_that_is_none_is_named(tmp_path, janus_bundle, chat):
    save_pretrained(janus_bundle, tmp_path, "deepseek")
    (tmp_path / "janusflow.json").write_text(json.dumps({"chat": chat}))
    with pytest.raises(ValueError, match=r"janusflow.json: chat must be texts called user, assistant, system"):
        processor_files.read_chat(tmp_path)


def vl_chat_processor(
    *, image_tag, num_image_tokens, add_special_token, sft_format, mask_prompt, ignore_id, processor_class
):
    """The fields of DeepSeek's processor that its releases state; it raises ``TypeError`` for any that it lacks."""
    assert (image_tag, sft_format, processor_class) == ("<image_placeholder>", "deepseek", "VLChatProcessor")
    return num_image_tokens


@pytest.mark.parametrize("head", ["flow", "ar"])
def test_an_export_is_what_deepseeks_classes_open(tmp_path, janus_bundle, tiny_model, head):
    flow = dataclasses.replace(janus_bundle, model=tiny_model, codec=LatentCodec.from_pretrained(ASSETS / "shapes/vae"))
    bundle, out = janus_bundle if head == "ar" else flow, tmp_path / "out"
    save_pretrained(bundle, tmp_path / "model")
    assert main(["export", str(tmp_path / "model"), str(out)]) == 0
    assert vl_chat_processor(**json.loads((out / "processor_config.json").read_text())) == bundle.model.head.num_tokens
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.encode("a ring", add_special_tokens=False) == bundle.tokenizer.encode("a ring")
    assert tokenizer.vocab["<image_placeholder>"] == bundle.tokenizer.image
    ours = {"janusflow.json", "README.md"} | ({"vae"} if head == "flow" else set())
    release = {"config.json", "model.safetensors", "processor_config.json", "preprocessor_config.json"}
    release |= {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"}
    assert {path.name for path in out.iterdir()} == ours | release
    assert load_pretrained(out, vae=None).chat == bundle.chat


def test_the_releases_own_files(shared):
    files = processor_files.companion_files(384, 576, 16_384, ChatConfig(), Preprocessing(normalize=False))
    for path in (shared / "data" / "configs").glob("janus-1.3b.*.LENGTH_MATCH.json"):
        assert files[f"{path.name.split('.')[2]}.json"] == json.loads(path.read_text()), path.name


def test_pixel_settings_inside_the_processor_file(tmp_path, janus_bundle):
    save_pretrained(janus_bundle, tmp_path, "transformers")
    values = json.loads((tmp_path / "preprocessor_config.json").read_text())
    (tmp_path / "preprocessor_config.json").unlink()
    path = tmp_path / "processor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "image_processor": values}))
    assert processor_files.read_preprocessing(tmp_path) == janus_bundle.preprocessing


def test_transformers_reads_the_exported_processor(tmp_path, janus_bundle):
    plain = dataclasses.replace(janus_bundle, preprocessing=Preprocessing())
    save_pretrained(plain, tmp_path, "transformers")
    theirs = AutoProcessor.from_pretrained(tmp_path)
    theirs.num_image_tokens = 16  # transformers 5.0 has Janus's number built in
    picture = Image.effect_noise((16, 16), 60).convert("RGB")
    got = theirs(text="<image_placeholder> what is it?", images=picture)
    special = janus_bundle.tokenizer
    image = [special.boi, *[special.image] * 16, special.eoi]
    assert got["input_ids"][0].tolist() == [*image, *special.encode(" what is it?")]
    assert got["pixel_values"].shape == (1, 3, 16, 16)
    assert theirs(text="a", generation_mode="image")["input_ids"][0, -1] == special.boi
