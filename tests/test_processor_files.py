"""Chat roles and pixel settings of checkpoints, as their files state or imply them."""

import dataclasses
import json

import pytest
from PIL import Image
from tokenizers import AddedToken, Tokenizer
from transformers import AutoProcessor

from janusflow import processor_files
from janusflow.checkpoint import load_pretrained, save_pretrained
from janusflow.data.transforms import Preprocessing
from janusflow.models.unified import UnifiedModel

FOREIGN = ("deepseek", "transformers")
PRO = ("<|User|>", "<|Assistant|>")


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
def test_roles_without_a_statement(tmp_path, janus_bundle, layout, change, pro):
    config = janus_bundle.model.config
    roomy = UnifiedModel(dataclasses.replace(config, llm=dataclasses.replace(config.llm, vocab_size=512)))
    folder = tmp_path / "model"
    save_pretrained(dataclasses.replace(janus_bundle, model=roomy), folder, layout)
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    change(forget_roles(folder))
    chat = load_pretrained(folder, vae=None).chat
    assert (chat.user, chat.assistant) == (PRO if pro else ("User", "Assistant"))
    assert chat.system == "Be brief."


def test_a_releases_name_counts_more_than_its_tokenizer(tmp_path, janus_bundle):
    config = janus_bundle.model.config
    roomy = UnifiedModel(dataclasses.replace(config, llm=dataclasses.replace(config.llm, vocab_size=512)))
    folder = tmp_path / "Janus-1.3B"
    save_pretrained(dataclasses.replace(janus_bundle, model=roomy), folder, "deepseek")
    with_token(forget_roles(folder))
    assert load_pretrained(folder, vae=None).chat.user == "User"


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
def test_roles_by_name(tmp_path, janus_bundle, monkeypatch, path, pro):
    save_pretrained(janus_bundle, tmp_path / path, "deepseek")
    forget_roles(tmp_path / path)
    expected = PRO if pro else ("User", "Assistant")
    chat = load_pretrained(tmp_path / path, vae=None).chat
    assert (chat.user, chat.assistant) == expected
    monkeypatch.chdir(tmp_path / path)
    chat = load_pretrained(".", vae=None).chat
    assert (chat.user, chat.assistant) == expected


def test_stated_roles_count_more_than_all_else(tmp_path, janus_bundle):
    folder = tmp_path / "Janus-Pro-1B"
    save_pretrained(janus_bundle, folder, "transformers")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    assert load_pretrained(folder, vae=None).chat == janus_bundle.chat


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
