"""The VQ codec: codes and back, other sizes than its own, files and their damage."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from janusflow.checkpoints.codecs import load_codec
from janusflow.codecs.vq import VQCodec
from janusflow.data.transforms import to_tensor
from janusflow.training.config import PartsConfig
from janusflow.weights import ASSETS
from janusflow.worlds.scenes import World, sample_scene


@pytest.fixture(scope="module")
def shapes_vq():
    return load_codec(ASSETS / PartsConfig().vq)


@pytest.fixture(scope="module")
def scenes():
    world = World("shapes", "fixed")
    drawn = (sample_scene(np.random.default_rng([9, number]), world=world) for number in range(40))
    return torch.stack([to_tensor(scene.render()) for scene in drawn])


def test_scenes_survive_the_shipped_tokenizer(shapes_vq, scenes):
    codes = shapes_vq.encode(scenes)
    assert codes.shape == (40, 36) and codes.dtype == torch.long and codes.max() < shapes_vq.size
    error = F.mse_loss(shapes_vq.decode(codes), scenes)
    assert 10 * torch.log10(4 / error) > 31


def test_codes_are_the_nearest_rows_on_the_unit_sphere(tiny_vq):
    """transformers' own encoder compares with the rows as they are stored."""
    pixels = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    codes = tiny_vq.encode(pixels)
    with torch.no_grad():
        theirs = tiny_vq.module.encode(pixels).image_tokens.view(3, -1)
        tiny_vq.module.quantize.embedding.weight.copy_(tiny_vq.codebook)
        normalised = tiny_vq.module.encode(pixels).image_tokens.view(3, -1)
    assert torch.equal(codes, normalised) and not torch.equal(codes, theirs)
    assert torch.equal(codes, tiny_vq.encode(pixels))


def test_decoding_is_transformers(tiny_vq):
    codes = torch.randint(0, 64, (2, 16), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(tiny_vq.decode(codes), tiny_vq.module.decode(codes).clamp(-1, 1))


@pytest.mark.parametrize("side", [8, 16, 32])
def test_other_sizes_than_the_files_go_there_and_back(tiny_vq, side):
    codes = tiny_vq.encode(torch.zeros(2, 3, side, side))
    assert codes.shape == (2, *tiny_vq.latent_shape(side)) and tiny_vq.decode(codes).shape == (2, 3, side, side)


def test_impossible_sizes_are_refused(tiny_vq):
    with pytest.raises(ValueError, match="18"):
        tiny_vq.encode(torch.zeros(1, 3, 18, 18))
    with pytest.raises(ValueError, match="15"):
        tiny_vq.decode(torch.zeros(1, 15, dtype=torch.long))
    with pytest.raises(ValueError, match="whole images"):
        tiny_vq.tile()


def test_many_images_are_encoded_in_parts(shapes_vq, scenes):
    assert torch.equal(shapes_vq.encode(scenes)[20:21], shapes_vq.encode(scenes[20:21]))
    assert shapes_vq.encode(scenes[:0]).shape == (0, 36)


def test_files_keep_everything(tiny_vq, tmp_path):
    tiny_vq.save(tmp_path)
    again = load_codec(tmp_path)
    assert isinstance(again, VQCodec) and again.digest == tiny_vq.digest


def test_damaged_files_are_named(tiny_vq, tmp_path):
    tiny_vq.save(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        load_codec(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "base_channels": 5}))
    with pytest.raises(ValueError, match=r"describes no VQ tokenizer: ."):
        load_codec(tmp_path)
