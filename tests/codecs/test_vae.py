"""The codec: the small VAE, and the SDXL latent space through TAESDXL on real photographs."""

import json
import math

import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from janusflow.codecs.vae import LatentCodec
from janusflow.data.transforms import generation_pixels
from janusflow.weights import ASSETS

SIZE = 256


@pytest.fixture(scope="module")
def photographs(shared):
    paths = sorted((shared / "data" / "coco111" / "img").glob("*.jpg"))[:2]
    return torch.stack([generation_pixels(Image.open(path), SIZE) for path in paths])


@pytest.fixture(scope="module")
def taesdxl(shared):
    return LatentCodec.from_pretrained(shared / "data" / "taesdxl" / "taesd_xl.safetensors")


def psnr(a, b):
    """In dB, of images in [-1, 1]."""
    return 10 * math.log10(4 / (a - b).square().mean().item())


def test_photographs_survive_the_sdxl_latent_space(taesdxl, photographs):
    assert (taesdxl.factor, taesdxl.size) == (8, 4)
    latents = taesdxl.encode(photographs)
    assert latents.shape == (2, 4, SIZE // 8, SIZE // 8)
    assert 0.5 < latents.std() < 1.5, "latents of about unit variance"
    quality = psnr(taesdxl.decode(latents), photographs)
    print(f"PSNR of {len(photographs)} photographs: {quality:.1f} dB")
    assert quality > 20


def test_tiles_change_little(taesdxl, photographs):
    latents = taesdxl.encode(photographs[:1])
    whole = taesdxl.decode(latents)
    taesdxl.module.tile_latent_min_size, tile = 16, taesdxl.module.tile_latent_min_size
    taesdxl.module.tile_sample_min_size, sample = 128, taesdxl.module.tile_sample_min_size
    tiled = taesdxl.tile().decode(latents)
    taesdxl.tile(False)
    taesdxl.module.tile_latent_min_size, taesdxl.module.tile_sample_min_size = tile, sample
    assert not torch.equal(tiled, whole), "tiles were really used"
    assert psnr(tiled, whole) > 25


def test_saved_codec_is_the_same(tmp_path):
    codec = LatentCodec.from_pretrained(ASSETS / "shapes" / "vae")
    codec.save(tmp_path)
    pixels = torch.rand(1, 3, 48, 48) * 2 - 1
    latents = codec.encode(pixels)
    assert torch.equal(LatentCodec.from_pretrained(tmp_path).encode(pixels), latents)
    assert str(ASSETS) not in (tmp_path / "config.json").read_text(), "no path of this machine"
    assert (tmp_path / "diffusion_pytorch_model.safetensors").stat().st_size < 1.1 * sum(
        path.stat().st_size for path in (ASSETS / "shapes" / "vae").glob("*.safetensors")
    )


def test_a_shift_is_taken_off_before_scaling_and_put_back(tmp_path):
    """As SD3's and FLUX's VAEs have one."""
    torch.manual_seed(0)
    AutoencoderKL(
        block_out_channels=(8,), norm_num_groups=4, latent_channels=4, scaling_factor=1.5, shift_factor=0.25
    ).save_pretrained(tmp_path)
    codec = LatentCodec.from_pretrained(tmp_path)
    pixels = torch.rand(1, 3, 8, 8) * 2 - 1
    with torch.no_grad():
        mode = codec.module.encode(pixels).latent_dist.mode()
        decoded = codec.module.decode(mode).sample.clamp(-1, 1)
    latents = codec.encode(pixels)
    torch.testing.assert_close(latents, (mode - 0.25) * 1.5)
    torch.testing.assert_close(codec.decode(latents), decoded)


def test_sides_that_do_not_fit_are_refused(taesdxl):
    with pytest.raises(ValueError, match="8"):
        taesdxl.encode(torch.zeros(1, 3, 30, 32))


@pytest.mark.parametrize(
    ("name", "value"),
    [("norm_num_groups", 0), ("block_out_channels", []), ("mid_block_add_attention", True), ("_class_name", [])],
)
def test_a_damaged_configuration_is_named(tmp_path, name, value):
    """Also one that asks for more than the weights hold, which diffusers would leave random."""
    LatentCodec.from_pretrained(ASSETS / "shapes" / "vae").save(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    assert values[name] != value
    (tmp_path / "config.json").write_text(json.dumps({**values, name: value}))
    with pytest.raises(ValueError, match=f"cannot load a VAE from {tmp_path}: .") as caught:
        LatentCodec.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_no_vae_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(ValueError, match="UNet2DModel"):
        LatentCodec.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="absent"):
        LatentCodec.from_pretrained(tmp_path / "absent")
    (tmp_path / "t.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(ValueError, match=r"t.safetensors"):
        LatentCodec.from_pretrained(tmp_path / "t.safetensors")
