"""Drawing from an image: what is shown decides, alone and in any batch; in Python and on the command line."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from janusflow.checkpoints.pretrained import Bundle, save_pretrained
from janusflow.cli import main
from janusflow.codecs.vae import LatentCodec
from janusflow.data.reconstruction import REQUESTS
from janusflow.inference.images import generate_images, paired, sample_latents
from janusflow.options import CodeSampling, FlowSampling
from janusflow.pipeline import Pipeline
from janusflow.weights import ASSETS
from tests.models.test_unified import picture

REQUEST = REQUESTS[0]


@pytest.fixture(params=["flow", "codes"])
def drawing(request, tokenizer):
    """A tiny model of each head, and options that are a function of the logits."""
    if request.param == "codes":
        return request.getfixturevalue("janus_bundle"), CodeSampling(3.0, temperature=0.0)
    codec = LatentCodec.from_pretrained(ASSETS / "shapes" / "vae")
    return Bundle(request.getfixturevalue("tiny_model"), codec, tokenizer), FlowSampling(steps=2, guidance=3.0)


def latents(bundle, options, prompts, images):
    return torch.cat(list(sample_latents(bundle, prompts, [5] * len(prompts), options, images=images)))


def test_what_is_shown_is_drawn_alone_and_in_any_batch(drawing):
    bundle, options = drawing
    prompts, images = [REQUEST, "a ring", REQUEST, "a blue star."], [picture(1), None, picture(2), picture(1)]
    together = latents(bundle, options, prompts, images)
    for number, (prompt, image) in enumerate(zip(prompts, images, strict=True)):
        alone = latents(bundle, options, [prompt], [image])
        torch.testing.assert_close(alone[0], together[number], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together[0].float(), together[2].float(), atol=1e-4), "the picture decides"
    assert not torch.allclose(together[0].float(), together[3].float(), atol=1e-4), "and the words beside it"
    torch.testing.assert_close(together[1:2], latents(bundle, options, ["a ring"], None), atol=1e-5, rtol=1e-5)


def test_guidance_drops_the_image(drawing):
    """With w = 0 what is left of the prompt draws, whatever was shown."""
    bundle, options = drawing
    first, other = (latents(bundle, replace(options, guidance=0.0), [REQUEST], [picture(n)]) for n in (1, 2))
    torch.testing.assert_close(first, other)
    kept = latents(bundle, options, [REQUEST], [picture(1)])
    assert not torch.allclose(kept.float(), first.float(), atol=1e-4)


def test_the_central_square_is_shown(drawing):
    bundle, options = drawing
    square, wide = picture(1), Image.new("RGB", (40, 16))
    wide.paste(square, (12, 0))
    first, second = (latents(bundle, options, [REQUEST], [image]) for image in (square, wide))
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    ("prompts", "images", "expected"),
    [
        (["a", "b"], [], [("a", None), ("b", None)]),
        ([], [1, 2], [(REQUEST, 1), (REQUEST, 2)]),
        (["a"], [1, 2], [("a", 1), ("a", 2)]),
        (["a", "b"], [1], [("a", 1), ("b", 1)]),
        (["a", "b"], [1, 2], [("a", 1), ("b", 2)]),
    ],
)
def test_prompts_and_images_pair(prompts, images, expected):
    assert paired(prompts, images) == expected


def test_numbers_that_do_not_pair_are_named(drawing):
    bundle, options = drawing
    with pytest.raises(ValueError, match="3 prompts and 2 images do not pair"):
        paired(["a", "b", "c"], [1, 2])
    with pytest.raises(ValueError, match="1 prompts need as many images, or None in their places, got 2"):
        generate_images(bundle, [REQUEST], [0], options, images=[None, None])


def test_the_pipeline_draws_files_and_pictures_again(janus_bundle, tmp_path):
    pipeline = Pipeline(**vars(janus_bundle))
    picture(1).save(tmp_path / "one.png")
    options = {"guidance": 2.0, "temperature": 0.0}
    drawn = pipeline.generate(images=tmp_path / "one.png", num_images=2, **options)
    expected = pipeline.generate(REQUEST, images=[picture(1)], **options)
    assert len(drawn) == 2 and drawn[0].tobytes() == expected[0].tobytes()
    assert drawn[0].tobytes() != pipeline.generate(REQUEST, **options)[0].tobytes()
    with pytest.raises(ValueError, match="give prompts or images"):
        pipeline.generate()


def test_the_command_draws_from_pictures(janus_bundle, tmp_path, capsys):
    save_pretrained(janus_bundle, tmp_path / "model")
    files = []
    for number, folder in enumerate(("a", "b"), 1):
        (tmp_path / folder).mkdir()
        picture(number).save(tmp_path / folder / "one.png")
        files += ["--image", str(tmp_path / folder / "one.png")]
    model, out = ["--model", str(tmp_path / "model"), "--num-images", "1"], tmp_path / "out"
    assert main(["generate", *files, *model, "--out", str(out)]) == 0
    assert main(["generate", "a ring", *files[:2], *model, "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {"one-0.png", "one_2-0.png", "one-a-ring-0.png"}
    infos = {path.name: Image.open(path).info for path in out.iterdir()}
    assert [infos[name]["prompt"] for name in ("one-0.png", "one-a-ring-0.png")] == [REQUEST, "a ring"]
    assert {info["image"] for info in infos.values()} == {"one.png"}
    capsys.readouterr()
    for arguments, value in (
        ([], "nothing to draw: give a prompt or --image"),
        (["--image", str(tmp_path / "none.png")], "none.png"),
        (["a", "b", "c", *files], "3 prompts and 2 images do not pair"),
    ):
        assert main(["generate", *arguments, *model, "--out", str(tmp_path / "no")]) == 2
        assert value in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "no").exists()
