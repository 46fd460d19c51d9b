"""Images from users: what is no picture, damaged, hostile or oddly shaped."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from janusflow.data.transforms import generation_pixels, understanding_pixels
from janusflow.pictures import read_image


def png_header(width, height):
    """A PNG that announces its size and then holds next to nothing."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def noise(kind):
    file = io.BytesIO()
    Image.effect_noise((64, 48), 60).convert("RGB").save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.png", b"not a picture"),
        ("empty.png", b""),
        ("bomb.png", png_header(60_000, 60_000)),
        ("hollow.png", png_header(64, 64)),
        ("cut.jpg", noise("JPEG")[:-200]),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=name) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_pixel_becomes_rgb(tmp_path, mode):
    path = tmp_path / "picture.tiff"
    Image.new(mode, (10, 6)).save(path)
    assert read_image(path).mode == "RGB"


def test_sixteen_bits_and_transparency(tmp_path):
    path = tmp_path / "picture.png"
    Image.new("I;16", (4, 4), 20_000).save(path)
    assert read_image(path).getpixel((0, 0)) == (20_000 // 257,) * 3
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(path)
    assert read_image(path).getpixel((0, 0)) == (255, 255, 255)
    Image.new("F", (4, 4)).save(tmp_path / "float.tiff")
    with pytest.raises(ValueError, match=r"float\.tiff.*floating-point"):
        read_image(tmp_path / "float.tiff")


@pytest.mark.parametrize("odd", [False, True])
def test_pictures_are_turned_as_exif_says(tmp_path, odd):
    width = struct.pack("<HHII", 0x0100, 1, 1, 200)  # the width as a byte, which Pillow cannot write again
    for orientation in range(1, 9):
        image = Image.fromarray(np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3))
        turned = struct.pack("<HHII", 0x0112, 3, 1, orientation)
        tags = [width, turned] if odd else [turned]
        exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(tags) + struct.pack("<I", 0)
        image.save(tmp_path / "photo.png", exif=exif)
        image.getexif()[0x0112] = orientation
        expected = ImageOps.exif_transpose(image)
        assert np.array_equal(np.asarray(read_image(tmp_path / "photo.png")), np.asarray(expected))


def test_whatever_a_decoder_raises_is_one_line(tmp_path, monkeypatch):
    Image.new("RGB", (4, 4)).save(tmp_path / "photo.png")

    def fail(*_):
        raise struct.error("unpack requires a buffer of 4 bytes")

    monkeypatch.setattr(Image.Image, "convert", fail)
    with pytest.raises(ValueError, match=r"cannot read the image .*photo\.png: unpack requires"):
        read_image(tmp_path / "photo.png")


@pytest.mark.parametrize("size", [(1, 10_000), (10_000, 1), (1, 1), (3, 2)])
@pytest.mark.parametrize("pixels", [understanding_pixels, generation_pixels])
def test_odd_shapes_fill_the_square(size, pixels):
    tensor = pixels(Image.new("RGB", size, "red"), 48)
    assert tensor.shape == (3, 48, 48)
    assert torch.isfinite(tensor).all()
    assert tensor.abs().max() <= 1


def test_generation_takes_the_central_square():
    picture = Image.new("RGB", (90, 30), "blue")
    picture.paste("red", (30, 0, 60, 30))
    pixels = generation_pixels(picture, 30)
    assert torch.equal(pixels, torch.tensor([1.0, -1.0, -1.0]).view(3, 1, 1).expand(3, 30, 30))
