"""The order of resizing: the central square, Lanczos in 8 bits, then bicubic in floating point."""

from __future__ import annotations

import numpy as np
import pytest
from cleanfid.resize import build_resizer
from PIL import Image
from torchvision.transforms.functional import center_crop

from eval.features.extractors import TorchScriptExtractor
from eval.features.resizing import bicubic, clean_pixels, gigagan, unchanged
from janusflow.pictures import read_image
from tests.eval.pictures import picture, stand_in


@pytest.mark.parametrize(("resize", "filter"), [(gigagan, "LANCZOS"), (bicubic, "BICUBIC")])
@pytest.mark.parametrize("size", [(40, 30), (30, 41), (33, 33), (301, 300), (384, 384), (640, 427)])
def test_the_central_square_is_resized_in_8_bits(size, resize, filter):
    image = picture(0, size)
    expected = center_crop(image, min(size)).resize((256, 256), Image.Resampling[filter])
    found = resize(image)
    assert found.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_clean_pixels_are_clean_fids_and_are_not_rounded_again():
    image = gigagan(picture(1))
    pixels = clean_pixels(image)
    np.testing.assert_array_equal(pixels.transpose(1, 2, 0), build_resizer("clean")(np.asarray(image)))
    assert pixels.shape == (3, 299, 299) and pixels.dtype == np.float32
    assert pixels.min() >= 0 and pixels.max() <= 255
    assert (pixels != pixels.round()).mean() > 0.5


def test_the_order_of_resizing_matters():
    image = picture(2, (200, 150))
    other = image.resize((299, 299), Image.Resampling.BICUBIC)
    assert np.abs(clean_pixels(gigagan(image)) - np.asarray(other, np.float32).transpose(2, 0, 1)).mean() > 1


def test_clean_alone_keeps_the_whole_picture():
    image = picture(3)
    assert unchanged(image) is image
    np.testing.assert_array_equal(clean_pixels(image).transpose(1, 2, 0), build_resizer("clean")(np.asarray(image)))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "LA", "CMYK", "1"])
def test_other_modes_become_8_bit_rgb(mode, tmp_path):
    image = picture(4)
    if mode == "I;16":
        grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
        stored = Image.fromarray(grey)
    else:
        stored = image.convert(mode)
    path = tmp_path / ("picture.tiff" if mode == "CMYK" else "picture.png")
    stored.save(path)
    found = gigagan(read_image(path))
    assert found.size == (256, 256) and found.mode == "RGB"
    features = TorchScriptExtractor(stand_in(tmp_path))([found])
    assert features.shape == (1, 12) and np.isfinite(features).all()
    if mode == "I;16":  # 16 bits are scaled, not cut off
        np.testing.assert_array_equal(np.asarray(found), np.asarray(gigagan(image.convert("L").convert("RGB"))))
