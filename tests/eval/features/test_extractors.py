"""Resizing in its order, and feature extractors: what they are called, and clear refusals."""

import urllib.error

import numpy as np
import pytest
import torch
from cleanfid.resize import build_resizer
from PIL import Image
from torch import nn
from torchvision.transforms.functional import center_crop

from eval.features import extractors as features
from eval.features.extractors import INCEPTION_FILE, Inception, TorchScriptExtractor, find_extractor
from eval.features.resizing import bicubic, clean_pixels, gigagan, unchanged
from eval.worlds.judge import embed
from janusflow.worlds.scenes import render, sample_scene
from tests.eval.pictures import picture, stand_in


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


def test_inception_is_a_file_by_its_content_and_run_as_clean_fid_runs_it(tmp_path, monkeypatch):
    path, image = tmp_path / INCEPTION_FILE, picture(0)
    torch.jit.script(FakeInception()).save(str(path))
    monkeypatch.setattr(features, "INCEPTION_SHA256", TorchScriptExtractor(path).digest)  # it passes for the published
    (row,) = find_extractor(str(path))([image])
    assert row.shape == (2048,)
    np.testing.assert_allclose(row[:3], clean_pixels(image).mean((1, 2)) / 128 - 1, atol=1e-4)
    others = path.rename(tmp_path / "other.pt"), stand_in(tmp_path), "shapes"
    assert [find_extractor(str(one)).is_inception for one in others] == [True, False, False]
    stand_in(tmp_path).rename(path)
    with pytest.raises(ValueError, match=r"inception-2015-12-05.pt is damaged, or not the file of that name"):
        find_extractor(str(path))
    with pytest.raises(ValueError, match="is not the published"):
        Inception(path)


def test_a_failed_or_half_download_is_one_clear_error(tmp_path, monkeypatch):
    def fail(url):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(features.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("cleanfid.downloads_helper.urllib.request.urlopen", fail)
    with pytest.raises(ValueError, match=r"cannot download https://.*no route.*--extractor FOLDER") as raised:
        find_extractor("inception")
    assert "\n" not in str(raised.value) and not list(tmp_path.iterdir()), "half a file"
    (tmp_path / INCEPTION_FILE).write_bytes(b"half")
    with pytest.raises(ValueError, match="is not the published"):
        find_extractor("inception")


def test_what_is_no_extractor_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown extractor 'vgg'"):
        find_extractor("vgg")
    torch.jit.script(nn.Identity()).save(str(tmp_path / "identity.pt"))
    (tmp_path / "broken.pt").write_bytes(b"no TorchScript")
    for name, message in (("identity.pt", "must map pixels"), ("broken.pt", "broken.pt is not a TorchScript file")):
        extractor = find_extractor(str(tmp_path / name))
        assert len(extractor.describe()["weights"]) == 12, "hashed without being loaded"
        with pytest.raises(ValueError, match=message):
            extractor([picture(0)])


def test_shapes_features_are_those_of_the_shapes_scores():
    rng = np.random.default_rng(0)
    extractor = find_extractor("shapes")
    images = [render(sample_scene(rng), 48) for _ in range(3)]
    expected = embed("shapes", images).numpy()
    np.testing.assert_allclose(extractor(images), expected, atol=1e-6)
    assert extractor([gigagan(images[0])]).shape == expected[:1].shape


# --- resizing ---


@pytest.mark.parametrize(("resize", "filter"), [(gigagan, "LANCZOS"), (bicubic, "BICUBIC")])
@pytest.mark.parametrize("size", [(40, 30), (30, 41), (33, 33), (301, 300), (384, 384)])
def test_the_central_square_is_resized_in_8_bits(size, resize, filter):
    image = picture(0, size)
    expected = center_crop(image, min(size)).resize((256, 256), Image.Resampling[filter])
    found = resize(image)
    assert found.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_clean_pixels_are_clean_fids_of_the_whole_picture_and_are_not_rounded_again():
    image = picture(1)
    assert unchanged(image) is image
    for one in (gigagan(image), image):
        pixels = clean_pixels(one)
        np.testing.assert_array_equal(pixels.transpose(1, 2, 0), build_resizer("clean")(np.asarray(one)))
        assert pixels.shape == (3, 299, 299) and pixels.dtype == np.float32
        assert pixels.min() >= 0 and pixels.max() <= 255 and (pixels != pixels.round()).mean() > 0.5
