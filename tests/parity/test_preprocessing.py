"""Understanding pixels against the reference's, bit for bit."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from janusflow.data.transforms import Preprocessing, fit_sides, understanding_pixels


@pytest.fixture(scope="module")
def reference(shared):
    folder = shared / "golden"
    settings = json.loads((folder / "preprocess_und.json").read_text())
    return settings, load_file(folder / "preprocess_und.safetensors")


def test_pixels_equal_the_reference(reference):
    settings, golden = reference
    rng = np.random.default_rng(settings["seed"])
    step = settings["subsample"]
    for number, shape in enumerate(settings["images"]):
        levels = rng.integers(0, 256, (shape["height"], shape["width"], 3), np.uint8)
        pixels = understanding_pixels(Image.fromarray(levels), settings["image_size"])
        assert pixels.shape == (3, settings["image_size"], settings["image_size"])
        assert torch.equal(pixels[:, ::step, ::step], golden[f"pixel_values_{number}"]), shape


@pytest.mark.parametrize("size", [384, 256, 48])
def test_every_image_fits_as_in_the_reference(size):
    """Sides 1 to 6000 in both orientations: exactly ``size`` the long way, short sides cut to whole pixels."""
    for long in range(1, 6001):
        for short in {1, long // 3 or 1, long * 47 // 48 or 1, long}:
            expected = max(int(short / long * size), 14)
            assert fit_sides(long, short, size, 14) == (size, expected)
            assert fit_sides(short, long, size, 14) == (expected, size)


def test_a_least_side_that_no_picture_has_room_for():
    with pytest.raises(ValueError, match="min_side is 14, more than the image's 12"):
        understanding_pixels(Image.new("RGB", (20, 20)), 12)


def test_checkpoints_may_leave_pixels_between_0_and_1():
    image = Image.new("RGB", (20, 10), (255, 0, 127))
    pixels = understanding_pixels(image, 40, Preprocessing(normalize=False))
    assert pixels.min() == 0 and pixels.max() == 1
    torch.testing.assert_close(understanding_pixels(image, 40), pixels * 2 - 1)
