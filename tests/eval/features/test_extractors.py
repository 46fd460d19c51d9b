"""Resizing in its order, and feature extractors: what they are called, and clear refusals."""

from __future__ import annotations

import urllib.error

import numpy as np
import pytest
import torch
from cleanfid.fid import get_folder_features
from cleanfid.resize import build_resizer
from PIL import Image
from torch import nn
from torchvision.transforms.functional import center_crop

from eval.features import extractors as features
from eval.features.extractors import INCEPTION_FILE, Inception, ShapesExtractor, TorchScriptExtractor, find_extractor
from eval.features.resizing import bicubic, clean_pixels, gigagan, unchanged
from eval.shapes.judge import embed
from janusflow.parts.siglip import load_siglip
from janusflow.pictures import read_image
from janusflow.weights import ASSETS
from janusflow.worlds.shapes import render, sample_scene
from tests.eval.pictures import picture, stand_in, write_pictures


class Layers(nn.Module):
    """(B, 3, 299, 299) in -1..1 -> (B, 2048)."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return nn.functional.adaptive_avg_pool2d(pixels, 1).flatten(1).repeat(1, 683)[:, :2048]


class FakeInception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = Layers()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layers(pixels)


@pytest.fixture
def fake_inception(tmp_path, monkeypatch):
    """A file that passes for the published one."""
    path = tmp_path / INCEPTION_FILE
    torch.jit.script(FakeInception()).save(str(path))
    monkeypatch.setattr(features, "INCEPTION_SHA256", TorchScriptExtractor(path).digest)
    return path


def test_features_of_a_file_are_those_of_clean_fid(tmp_path):
    names = [f"{i}.png" for i in range(5)]
    write_pictures(tmp_path / "pictures", names)
    extractor = TorchScriptExtractor(stand_in(tmp_path))
    images = [gigagan(read_image(tmp_path / "pictures" / name)) for name in names]
    theirs = get_folder_features(
        str(tmp_path / "pictures"),
        torch.jit.load(str(extractor.path)),
        num_workers=0,
        device=torch.device("cpu"),
        verbose=False,
        custom_image_tranform=lambda array: np.asarray(gigagan(Image.fromarray(array))),
    )
    found = extractor(images)
    assert found.dtype == np.float32 and found.shape == (5, 12)
    np.testing.assert_allclose(found, theirs, rtol=1e-6, atol=1e-6)


def test_only_inception_makes_an_fid(tmp_path, fake_inception):
    assert find_extractor(str(fake_inception)).is_inception
    others = [TorchScriptExtractor(stand_in(tmp_path)), ShapesExtractor()]
    assert [one.is_inception for one in others] == [False, False]
    assert not others[1].is_inception


def test_a_file_is_the_inception_by_its_content_not_by_its_name(tmp_path, fake_inception):
    renamed = fake_inception.rename(tmp_path / "other.pt")
    assert find_extractor(str(renamed)).is_inception
    stand_in(tmp_path).rename(tmp_path / INCEPTION_FILE)
    with pytest.raises(ValueError, match=r"inception-2015-12-05.pt is damaged, or not the file of that name"):
        find_extractor(str(tmp_path / INCEPTION_FILE))
    with pytest.raises(ValueError, match="is not the published"):
        Inception(tmp_path / INCEPTION_FILE)


def test_inception_is_run_as_clean_fid_runs_it(fake_inception):
    image = picture(0)
    (row,) = find_extractor(str(fake_inception))([image])
    assert row.shape == (2048,)
    np.testing.assert_allclose(row[:3], clean_pixels(image).mean((1, 2)) / 128 - 1, atol=1e-4)


def test_a_failed_download_is_one_clear_error(tmp_path, monkeypatch):
    def fail(url):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(features.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("cleanfid.downloads_helper.urllib.request.urlopen", fail)
    with pytest.raises(ValueError, match=r"cannot download https://.*no route.*--extractor FOLDER") as raised:
        find_extractor("inception")
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir()), "half a file"


def test_half_a_download_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(features.tempfile, "tempdir", str(tmp_path))
    (tmp_path / INCEPTION_FILE).write_bytes(b"half")
    with pytest.raises(ValueError, match="is not the published"):
        find_extractor("inception")


def test_the_weights_are_hashed_without_being_loaded(tmp_path):
    path = tmp_path / "broken.pt"
    path.write_bytes(b"no TorchScript")
    extractor = find_extractor(str(path))
    assert len(extractor.describe()["weights"]) == 12
    with pytest.raises(ValueError, match=r"broken.pt is not a TorchScript file"):
        extractor([picture(0)])


def test_unknown_extractors_are_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown extractor 'vgg'"):
        find_extractor("vgg")
    torch.jit.script(nn.Identity()).save(str(tmp_path / "identity.pt"))
    with pytest.raises(ValueError, match=r"must map pixels"):
        find_extractor(str(tmp_path / "identity.pt"))([picture(0)])


def test_shapes_features_are_those_of_the_shapes_scores():
    siglip = load_siglip(ASSETS / "shapes")
    rng = np.random.default_rng(0)
    images = [render(sample_scene(rng), siglip.config.image_size) for _ in range(3)]
    extractor = find_extractor("shapes")
    found = extractor(images)
    assert found.shape == (3, extractor.dim)
    np.testing.assert_allclose(found, embed(images).numpy(), atol=1e-6)
    assert extractor([gigagan(images[0])]).shape == (1, siglip.config.width)


# --- resizing ---


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
