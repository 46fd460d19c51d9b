"""Editing pictures: two guidances, alone and in any batch; in Python and on the command line."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from janusflow.checkpoints.pretrained import Bundle, load_pretrained, save_pretrained
from janusflow.cli import main
from janusflow.inference.cost import count_passes
from janusflow.inference.images import sample_latents
from janusflow.options import CodeSampling, FlowSampling
from tests.models.test_editing import build_vae, showing
from tests.models.test_unified import picture

WORDS = "make the circle blue."


@pytest.fixture(params=["flow", "flow with latents", "codes"])
def editing(request, tokenizer):
    """A tiny model of each head, and options that are a function of the logits."""
    if request.param == "codes":
        return request.getfixturevalue("janus_bundle"), CodeSampling(3.0, temperature=0.0, image_guidance=1.5)
    model = request.getfixturevalue("tiny_model")
    codec = build_vae()
    model = showing(model) if request.param == "flow with latents" else model
    return Bundle(model, codec, tokenizer), FlowSampling(steps=2, guidance=3.0, image_guidance=1.5)


def latents(bundle, options, prompts, images):
    return torch.cat(list(sample_latents(bundle, prompts, [5] * len(prompts), options, images=images)))


def test_an_edit_is_the_same_alone_and_in_any_batch(editing):
    bundle, options = editing
    prompts, images = [WORDS, "a ring", WORDS, "remove the star."], [picture(1), None, picture(2), picture(1)]
    together = latents(bundle, options, prompts, images)
    for number, (prompt, image) in enumerate(zip(prompts, images, strict=True)):
        alone = latents(bundle, options, [prompt], [image])
        torch.testing.assert_close(alone[0], together[number], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(together[0].float(), together[2].float(), atol=1e-4), "the picture decides"
    assert not torch.allclose(together[0].float(), together[3].float(), atol=1e-4), "and the words beside it"
    plain = latents(bundle, dataclasses.replace(options, image_guidance=None), ["a ring"], None)
    torch.testing.assert_close(together[1:2], plain, atol=1e-4, rtol=1e-4)


def test_velocities_are_guided_by_image_and_words(tiny_model, tokenizer):
    """In a single step the latents are linear in the velocities, and so in both weights."""
    bundle = Bundle(showing(tiny_model), build_vae(), tokenizer)

    def drawn(guidance, image_guidance=None):
        options = FlowSampling(steps=1, guidance=guidance, image_guidance=image_guidance)
        return latents(bundle, options, [WORDS], [picture(1)])

    both, shown, empty = drawn(1.0), drawn(0.0, 1.0), drawn(0.0)
    assert not torch.allclose(both, shown, atol=1e-5) and not torch.allclose(shown, empty, atol=1e-5)
    for words, image in ((2.0, 1.5), (1.0, 2.5), (4.0, 1.0), (2.0, 2.0)):
        wanted = empty + image * (shown - empty) + words * (both - shown)
        torch.testing.assert_close(drawn(words, image), wanted, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(drawn(2.0), drawn(2.0, 2.0), atol=0, rtol=0)


def test_no_row_is_run_that_cancels_out(editing):
    bundle, options = editing
    for weights, rows, image in (
        ({"guidance": 2.0, "image_guidance": 1.5}, 3, picture(1)),
        ({"guidance": 2.0, "image_guidance": 1.0}, 2, picture(1)),
        ({"guidance": 2.0}, 2, picture(1)),
        ({"guidance": 2.0, "image_guidance": 1.5}, 2, None),
        ({"guidance": 1.0, "image_guidance": 1.0}, 1, picture(1)),
    ):
        chosen = dataclasses.replace(options, **{"image_guidance": None, **weights})
        with count_passes(bundle.model.llm) as calls:
            latents(bundle, chosen, [WORDS], [image])
        assert {call.rows for call in calls} == {rows}, weights


@pytest.fixture
def folder(flow_bundle, tmp_path):
    """A model that shows latents, as it is saved: with a way to draw of its own; and two pictures."""
    bundle = dataclasses.replace(
        flow_bundle,
        model=showing(flow_bundle.model),
        codec=build_vae(),
        sampling={"guidance": 2.0, "image_guidance": 1.5, "steps": 1},
    )
    save_pretrained(bundle, tmp_path / "model")
    for number, name in enumerate(("one", "two"), 1):
        picture(number).save(tmp_path / f"{name}.png")
    return tmp_path


def test_the_command_edits_pictures(folder, capsys):
    one, two, model = str(folder / "one.png"), str(folder / "two.png"), ["--model", str(folder / "model")]
    assert load_pretrained(folder / "model").model.config.source_latents
    assert main(["edit", one, two, WORDS, *model, "--out", str(folder / "out"), "--seed", "4"]) == 0
    assert main(["edit", one, WORDS, *model, "--out", str(folder / "new" / "x.png"), "--seed", "4", "--json"]) == 0
    *paths, said = capsys.readouterr().out.splitlines()
    assert paths == [str(folder / "out" / f"{name}-make-the-circle-blue-4.png") for name in ("one", "two")]
    facts = json.loads(said)
    assert (facts["prompt"], facts["image"], facts["seed"]) == (WORDS, "one.png", 4)
    assert facts["path"].endswith("x.png") and facts["image_guidance"] == 1.5
    with Image.open(paths[0]) as first, Image.open(facts["path"]) as alone:
        assert first.info["image_guidance"] == "1.5" and first.info["image"] == "one.png"
        pixels = [np.asarray(image, np.int16) for image in (first, alone)]
    assert np.abs(pixels[0] - pixels[1]).max() <= 1, "alone as in a batch, but for rounding"


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["ONE", " "], "a prompt is empty"),
        (["NONE", WORDS], "none.png"),
        (["ONE", "TWO", WORDS, "--out", "OUT/x.png"], "x.png takes one picture, and there will be 2"),
        (["ONE", WORDS, "--num-images", "0"], "--num-images must be at least 1"),
        (["ONE", WORDS, "--seed", "-1"], "--seed must be 0 or more"),
        (["ONE", WORDS, "--image-guidance", "-2"], "image_guidance must be a number of 0 or more, got -2"),
        (["ONE", WORDS, "--image-guidance", "2", "--worse", "MODEL"], "in whose place worse puts a model"),
        (["ONE", "make " * 300], "positions, more than the model's 256"),
    ],
)
def test_bad_input_is_one_line(folder, capsys, arguments, value):
    places = {"ONE": "one.png", "TWO": "two.png", "NONE": "none.png", "MODEL": "model", "OUT/x.png": "out/x.png"}
    words = [str(folder / places[word]) if word in places else word for word in arguments]
    words += [] if "--out" in words else ["--out", str(folder / "out")]
    assert main(["edit", *words, "--model", str(folder / "model")]) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error: ")]
    assert value in line and not (folder / "out").exists()


def test_layouts_of_others_cannot_say_it(folder):
    with pytest.raises(ValueError, match="layout has no source latents in prompts: use the janusflow layout"):
        save_pretrained(load_pretrained(folder / "model"), folder / "other", "deepseek")
