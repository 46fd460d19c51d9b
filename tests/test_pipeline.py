"""A model in a notebook: drawn with, asked, moved, saved."""

import json
import shutil

import numpy as np
import pytest
import torch

import janusflow
from janusflow.weights import SHIPPED
from janusflow.worlds.scenes import World, render, sample_scene


@pytest.fixture(scope="module")
def pipeline():
    return janusflow.load_pretrained()


def test_a_pipeline_says_what_it_is(pipeline):
    assert repr(pipeline) == f"Pipeline(a flow head, 7.8 M parameters, 48 px, float32 on cpu, {pipeline.digest})"
    assert (pipeline.options["steps"], pipeline.options["guidance"]) == (30, 4.0), "the head's default, the model's own"


def test_pictures_and_answers(pipeline, tmp_path):
    seen = []
    drawn = pipeline.generate(
        ["a red circle", "a ring"],
        2,
        seed=3,
        steps=2,
        on_step=lambda done, steps, z: seen.append((done, steps, len(z))),
    )
    assert [image.size for image in drawn] == [(48, 48)] * 4 and seen == [(1, 2, 4), (2, 2, 4)]
    (alone,) = pipeline.generate("a ring", seed=4, steps=2)
    assert np.abs(np.asarray(alone, int) - np.asarray(drawn[3], int)).max() <= 1
    scene = sample_scene(np.random.default_rng(4), "colors", world=World("shapes", "fixed"))
    render(scene).save(tmp_path / "scene.png")
    question = f"what color is the {scene.groups[0].name}?"
    for images in (render(scene), tmp_path / "scene.png", [str(tmp_path / "scene.png")]):
        assert pipeline.ask(images, question) == scene.groups[0].color


def test_what_is_impossible_is_named(pipeline):
    for given, message in (
        ({"temperature": 1.0}, "temperature does not go with a flow head"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"num_images": 0}, "num_images must be at least 1"),
        ({"seed": -1}, "seed 0 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            pipeline.generate("a ring", **given)


def test_it_is_moved_and_saved(tmp_path):
    codes = janusflow.load_pretrained("shapes-ar")
    weights = {name: value.clone() for name, value in codes.model.state_dict().items()}
    assert codes.to(dtype=torch.bfloat16, device="cpu") is codes and codes.codec.dtype == torch.float32
    assert "an autoregressive head" in repr(codes) and "bfloat16" in repr(codes)
    codes.save_pretrained(tmp_path / "out", shard_size="5MB")
    again = janusflow.load_pretrained(tmp_path / "out")
    assert again.codec.digest == codes.codec.digest
    for name, value in again.model.state_dict().items():
        assert torch.equal(value, weights[name].bfloat16().float()), name


def test_guidance_of_earlier_folders_is_read(tmp_path):
    folder = shutil.copytree(SHIPPED["shapes-flow"], tmp_path / "model")
    values = json.loads((folder / "config.json").read_text())
    values.pop("sampling", None)
    (folder / "config.json").write_text(json.dumps({**values, "guidance": 3.5, "codec": None}))
    assert janusflow.load_pretrained(folder, vae=None).options["guidance"] == 3.5
