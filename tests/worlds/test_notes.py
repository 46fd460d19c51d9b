"""What is not of a model's world is said in a line, by models that state one and by no other."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from eval.worlds.benchmark import benchmark_prompts
from janusflow.checkpoints.pretrained import load_pretrained
from janusflow.cli import main
from janusflow.config import load_config
from janusflow.inference.answers import answer_questions
from janusflow.inference.images import generate_images
from janusflow.options import FlowSampling
from janusflow.parts import tokenizer
from janusflow.training.build import build_bundle
from janusflow.training.config import RunConfig
from janusflow.weights import SHIPPED
from janusflow.worlds.casts import CASTS
from janusflow.worlds.notes import WORD, foreign_words, is_foreign, words_of
from janusflow.worlds.scenes import World, sample_scene
from janusflow.worlds.source import CAPTION_REQUEST
from tests.conftest import ROOT
from tests.worlds.reading import WORLDS

NOTE = "note: not of the world of shapes, which is all that this model knows: "


def scene(seed, world=WORLDS[1]):
    return sample_scene(np.random.default_rng(seed), world=world).render()


def photo(seed):
    """Smooth colours over the whole picture, as in photographs."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return Image.fromarray(noise).resize((320, 240), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("cast", CASTS.own)
def test_the_worlds_words_are_those_of_its_texts(monkeypatch, cast):
    monkeypatch.setattr(tokenizer, "CORPUS_SCENES", 1000)
    texts = [text for level in ("fixed", "free") for text in tokenizer.corpus(0, World(cast, level))]
    said = set(WORD.findall(" ".join([*texts, CAPTION_REQUEST]).lower()))
    assert said <= words_of(cast)
    asked = [prompt["prompt"] for prompt in benchmark_prompts(World(cast), 30, "reworded")]
    assert set(WORD.findall(" ".join(asked))) <= words_of(cast)
    unsaid = words_of(cast) - said - set(WORD.findall(" ".join(asked)))
    assert len(unsaid) < 0.1 * len(words_of(cast)), unsaid


def test_other_words_are_foreign():
    assert not foreign_words("What COLOR is the star?\n\tTwo red circles, and a blue ring!", "shapes")
    words = ["lighthouse", "dusk", "7", "红色的圆"]
    assert foreign_words("a lighthouse at dusk, a Lighthouse; 7 红色的圆", "shapes") == words
    assert foreign_words("a star and a teddy bear", "shapes") == ["teddy", "bear"]
    assert foreign_words("a star and a teddy bear", "objects") == ["star"]


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_scenes_in_any_state_are_of_the_world(world):
    spoilt = 0
    for seed in range(60):
        image = scene(seed, world)
        compressed = io.BytesIO()
        image.save(compressed, "JPEG", quality=30)
        noise = np.random.default_rng(seed).normal(0, 8, (image.height, image.width, 3))
        noisy = Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
        for one in (image, image.convert("RGBA").resize((384, 384)), noisy, image.filter(ImageFilter.GaussianBlur(1))):
            assert not is_foreign(one), seed
        spoilt += is_foreign(Image.open(compressed)) + is_foreign(image.filter(ImageFilter.GaussianBlur(2)))
    assert spoilt <= 2, "things at the border smear into it"


def test_other_pictures_are_foreign():
    assert all(is_foreign(photo(seed)) for seed in range(20))
    assert is_foreign(Image.new("L", (1, 1), 255)) and is_foreign(Image.new("RGB", (3000, 20)))


def test_photographs_are_not(shared):
    photos = sorted((shared / "data" / "coco111" / "img").iterdir())
    assert photos and all(is_foreign(Image.open(path)) for path in photos[:30])


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_models_say_it_on_the_command_line(tmp_path, capsys, name):
    model = ["--model", name]
    few = ["--steps", "1"] if name == "shapes-flow" else ["--temperature", "0"]
    draw = ["generate", *model, "--num-images", "1", "--out", str(tmp_path), *few]
    assert main([*draw, "a lighthouse at dusk", "a red circle"]) == 0
    assert capsys.readouterr().err == f"{NOTE}the words lighthouse, dusk\n"
    assert main([*draw, "A photo of two red circles and a blue star"]) == 0
    assert capsys.readouterr().err == ""

    photo(0).save(tmp_path / "photo.png")
    scene(0).save(tmp_path / "scene.png")
    assert main(["chat", *model, str(tmp_path / "photo.png"), "what is on the table?"]) == 0
    assert capsys.readouterr().err == f"{NOTE}the words table; the picture\n"
    assert main(["chat", *model, str(tmp_path / "scene.png"), "what shape do you see?"]) == 0
    assert capsys.readouterr().err == ""


def test_python_users_are_told_once(caplog):
    bundle = load_pretrained("shapes-flow")
    prompts = [one["prompt"] for one in benchmark_prompts(World("shapes"), 1, "in_distribution")]
    drawn = generate_images(bundle, prompts, range(len(prompts)), FlowSampling(steps=4))
    answer_questions(bundle, drawn, ["is there a star?"] * len(drawn))
    assert not caplog.messages  # neither the world's prompts nor what was drawn of them
    for _ in range(2):
        generate_images(bundle, ["a dog"], [0], FlowSampling(steps=1))
        answer_questions(bundle, [photo(1), photo(2)], ["is there a cat?"] * 2)
    assert caplog.messages == [f"{NOTE}the words dog", f"{NOTE}the picture"]
    other = dataclasses.replace(bundle, world=None, noted=set())  # any released model
    generate_images(other, ["a dog"], [0], FlowSampling(steps=1))
    assert len(caplog.messages) == 2


def test_a_run_states_its_world_unless_it_saw_other_data(tmp_path):
    def world(*overrides):
        return build_bundle(load_config(RunConfig, ROOT / "configs" / "shapes.yaml", list(overrides))).world

    own = f"data.sources={{own: {{kind: text, path: {tmp_path}}}}}"
    assert (world(), world(own)) == ("shapes", None)
    assert world("model.losses.repa.weight=0", f"parts.checkpoint={SHIPPED['shapes-flow']}") == "shapes"
