"""What may come over a network, and what a picture's file gives back."""

import io

import pytest
from PIL import Image

from janusflow.options import SAMPLING, CodeSampling, FlowSampling, check_open, from_texts
from janusflow.pictures import png_bytes, read_image, read_settings

CHOSEN = {
    "flow": FlowSampling(7, 3.5, "heun", 2.0, None, (0.1, 0.9), "apg(parallel=0.5)"),
    "codes": CodeSampling(2.5, None, 0.7, 50, 0.9),
}


@pytest.mark.parametrize("head", SAMPLING)
def test_a_picture_says_what_it_was_drawn_with(head):
    chosen = CHOSEN[head]
    file = png_bytes(Image.new("RGB", (8, 8)), {"prompt": "a ring", "seed": 3, **chosen.stated()})
    texts = read_settings(io.BytesIO(file))
    assert (texts["prompt"], texts["seed"]) == ("a ring", "3")
    assert type(chosen)(**from_texts(type(chosen), texts)) == chosen


def test_a_file_that_says_nothing_is_named():
    for content, named in ((b"GIF89a", "not a PNG"), (png_bytes(Image.new("L", (2, 2)), {}), "does not say")):
        with pytest.raises(ValueError, match=named):
            read_settings(io.BytesIO(content))
    for name, text in (("steps", "import os"), ("steps", "'3'"), ("steps", "(" * 999), ("guidance_interval", "(0.1,)")):
        with pytest.raises(ValueError, match=f"{name} is no value of this option"):
            from_texts(FlowSampling, {name: text})


def test_pictures_of_other_formats_or_too_many_pixels_are_refused():
    file = io.BytesIO()
    Image.new("RGB", (20, 10)).save(file, "TIFF")
    assert read_image(file, "it").size == (20, 10)
    with pytest.raises(ValueError, match="it is not an image"):
        read_image(file, "it", formats=("PNG",))
    with pytest.raises(ValueError, match="20 x 10 pixels are more than 199"):
        read_image(file, "it", most=199)


def test_what_could_reach_the_machine_or_has_no_end_is_not_open():
    open_values = {"sampler": "ab2", "guidance_form": "apg (limit=2)", "steps": 100, "guidance_interval": (0.0, 1.0)}
    check_open(FlowSampling, open_values)
    check_open(CodeSampling, {"top_k": None, "temperature": 0})
    for name, value in (
        ("sampler", "os:system"),
        ("guidance_form", "my:form(a=1)"),
        ("worse", "/etc"),
        ("steps", 101),
        ("guidance_interval", (0.0, 1.5)),
        ("guidance", float("nan")),
    ):
        with pytest.raises(ValueError, match=name):
            check_open(FlowSampling, {name: value})
