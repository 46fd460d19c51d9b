"""The codec: the small VAE, and the SDXL latent space through TAESDXL on real photographs."""

import dataclasses
import json
import math

import pytest
import torch
from diffusers import AutoencoderDC, AutoencoderKL
from PIL import Image

from janusflow.checkpoints.codecs import fit_codec, load_codec
from janusflow.checkpoints.pretrained import load_pretrained, save_pretrained
from janusflow.cli import main
from janusflow.codecs.beside import Statistics
from janusflow.codecs.vae import LatentCodec
from janusflow.data.measure import batches, world_pictures
from janusflow.data.transforms import generation_pixels
from janusflow.models.unified import UnifiedModel
from janusflow.weights import ASSETS
from janusflow.worlds.scenes import World

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
    AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, mid_block_add_attention=False).save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    assert values[name] != value
    (tmp_path / "config.json").write_text(json.dumps({**values, name: value}))
    with pytest.raises(ValueError, match=f"cannot load a VAE from {tmp_path}: .") as caught:
        LatentCodec.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_precision_that_overflows_is_refused(caplog):
    cpu = torch.device("cpu")
    codec = LatentCodec(AutoencoderKL(block_out_channels=(8,), norm_num_groups=4))
    with pytest.raises(ValueError, match="overflows"):
        codec.to(cpu, torch.float16)
    for one in (codec, LatentCodec.from_pretrained(ASSETS / "shapes" / "vae")):
        assert one.to(cpu, torch.bfloat16).dtype == torch.bfloat16
    assert not caplog.records, "diffusers warns of nothing that concerns anyone"


def test_what_is_no_vae_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(ValueError, match="UNet2DModel"):
        LatentCodec.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="absent"):
        LatentCodec.from_pretrained(tmp_path / "absent")
    (tmp_path / "t.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(ValueError, match=r"t.safetensors"):
        LatentCodec.from_pretrained(tmp_path / "t.safetensors")


# The VAEs of other models: their classes at tiny sizes, with random weights


def save_flux(folder):
    """As FLUX's and SD3's: 16 channels, a scale and a shift, no convolutions around the latents."""
    torch.manual_seed(0)
    AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=16,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    ).save_pretrained(folder)


def save_dc(folder):
    """As DC-AE's: 32 channels, 32 pixels a position."""
    torch.manual_seed(0)
    widths, layers, blocks = (8, 8, 8, 8, 32, 32), (1,) * 6, ("ResBlock",) * 4 + ("EfficientViTBlock",) * 2
    AutoencoderDC(
        attention_head_dim=4,
        encoder_block_types=blocks,
        decoder_block_types=blocks,
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        encoder_layers_per_block=layers,
        decoder_layers_per_block=layers,
        scaling_factor=0.41407,
    ).save_pretrained(folder)


OTHERS = {"flux": (save_flux, 8, 16), "dc": (save_dc, 32, 32)}


@pytest.mark.parametrize("name", OTHERS)
def test_vaes_of_other_models_are_read_by_their_class(tmp_path, name):
    save, factor, channels = OTHERS[name]
    save(tmp_path / "vae")
    codec = load_codec(tmp_path / "vae")
    assert (codec.factor, codec.size, codec.latent_shape(64)) == (factor, channels, (channels, *(64 // factor,) * 2))
    pixels = torch.rand(2, 3, 64, 64) * 2 - 1
    latents = codec.encode(pixels)
    assert latents.shape == (2, *codec.latent_shape(64)) and codec.decode(latents).shape == pixels.shape
    config = codec.module.config
    raw = codec.raw(pixels)
    torch.testing.assert_close(latents, (raw - (config.get("shift_factor") or 0)) * config.scaling_factor)
    codec.save(tmp_path / "again")
    assert torch.equal(load_codec(tmp_path / "again").encode(pixels), latents)


@pytest.mark.parametrize("name", OTHERS)
def test_statistics_bring_every_channel_to_unit_variance(tmp_path, capsys, name):
    """Measured by the command, which notes the PSNR too; applied where a head asks for it, and put back."""
    OTHERS[name][0](tmp_path / "vae")
    args = ["--cast", "shapes", "--vae", str(tmp_path / "vae"), "--size", "64", "--count", "12", "--device", "cpu"]
    assert main(["measure-codec", *args]) == 0
    told = capsys.readouterr().out
    codec = load_codec(tmp_path / "vae")
    assert f"channel {codec.size - 1}: mean" in told
    (where, figures), *others = codec.reconstructions.items()
    assert where == "shapes (free), training scenes, 64 pixels" and figures["pictures"] == 12 and not others
    assert f"PSNR {figures['psnr_db']:.2f} dB" in told
    pixels = torch.cat([*batches(world_pictures(World(), 64)(12), 64, 12)])
    assert figures["psnr_db"] == pytest.approx(psnr(codec.decode(codec.encode(pixels)), pixels), abs=0.05)

    before = codec.digest
    latents = codec.give("normalized").encode(pixels)
    assert codec.digest != before, "stored latents of another scale are not taken for these"
    torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(codec.size), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.std((0, 2, 3), correction=0), torch.ones(codec.size), atol=1e-3, rtol=0)
    with torch.no_grad():
        decoded = codec.module.decode(codec.raw(pixels)).sample.clamp(-1, 1)
    torch.testing.assert_close(codec.decode(latents), decoded, atol=1e-4, rtol=0)
    codec.save(tmp_path / "again")
    assert torch.equal(load_codec(tmp_path / "again").give("normalized").encode(pixels), latents)
    assert load_codec(tmp_path / "again").reconstructions == codec.reconstructions
    assert codec.give("scaled").digest == before


def test_a_model_has_its_codec_normalize_and_keeps_the_statistics(tmp_path, flow_bundle):
    """By the head's configuration, in a model folder of ours; DeepSeek's has no place for it."""
    model = UnifiedModel(
        dataclasses.replace(
            flow_bundle.model.config, head=dataclasses.replace(flow_bundle.model.config.head, latents="normalized")
        )
    )
    with pytest.raises(ValueError, match="no statistics of its latents' channels to normalize them by: janusflow meas"):
        fit_codec(flow_bundle.codec, model.config)
    flow_bundle.codec.statistics = Statistics(torch.arange(4.0), torch.arange(1.0, 5.0))
    bundle = dataclasses.replace(flow_bundle, model=model)
    save_pretrained(bundle, tmp_path / "model")
    codec = load_pretrained(tmp_path / "model").codec
    pixels = torch.rand(1, 3, 32, 32) * 2 - 1
    normalized = (codec.raw(pixels) - torch.arange(4.0).view(4, 1, 1)) / torch.arange(1.0, 5.0).view(4, 1, 1)
    torch.testing.assert_close(codec.encode(pixels), normalized)
    with pytest.raises(ValueError, match="no normalized latents"):
        save_pretrained(bundle, tmp_path / "deepseek", "deepseek")
    assert not flow_bundle.codec.give("scaled").applied


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "cannot read"),
        ('{"mean": [0, 0], "std": [1, 1]}', "mean must be 4 numbers"),
        ('{"mean": [0, 0, 0, 0], "std": [1, 1, 1, 0]}', "std must be above 0, got 0"),
        ('{"mean": [0, 0, 0, 0]}', "std must be 4 numbers, got None"),
    ],
)
def test_damaged_statistics_are_named(tmp_path, text, fault):
    LatentCodec.from_pretrained(ASSETS / "shapes" / "vae").save(tmp_path)
    (tmp_path / "statistics.json").write_text(text)
    with pytest.raises(ValueError, match=fault):
        LatentCodec.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        ([], "give the pictures"),
        (["--cast", "shapes", "--count", "0"], "--count must be at least 1, got 0"),
        (["--cast", "shapes", "--size", "50"], "multiples of 4"),
        (["--cast", "stars"], "stars"),
        (["absent.tar"], "absent.tar"),
    ],
)
def test_measuring_says_what_is_wrong(args, fault, capsys, tmp_path):
    LatentCodec.from_pretrained(ASSETS / "shapes" / "vae").save(tmp_path)
    assert main(["measure-codec", *args, "--vae", str(tmp_path), "--device", "cpu"]) == 2
    assert fault in capsys.readouterr().err


def test_a_hub_id_has_no_folder_to_note_figures_in(capsys):
    assert main(["measure-codec", "--cast", "shapes", "--vae", "owner/vae"]) == 2
    assert "give --out" in capsys.readouterr().err


def test_codes_have_no_statistics(tmp_path, tiny_vq, capsys):
    tiny_vq.save(tmp_path / "vq")
    args = ["--cast", "shapes", "--size", "16", "--count", "3", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert main(["measure-codec", "--vae", str(tmp_path / "vq"), *args]) == 0
    assert "channel" not in capsys.readouterr().out and not (tmp_path / "out" / "statistics.json").exists()
    assert [*load_codec(tmp_path / "out").reconstructions] == ["shapes (free), training scenes, 16 pixels"]
    with pytest.raises(ValueError, match="a VQ tokenizer gives no normalized latents"):
        load_codec(tmp_path / "out").give("normalized")
