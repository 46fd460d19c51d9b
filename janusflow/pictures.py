"""Pictures on disk: grids with captions, PNG files with their settings, images from users."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageDraw, ImageFont, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

CELL = 96  # least side of a picture in a grid, in pixels; small pictures are enlarged by whole factors
GAP = 4
CAPTION_HEIGHT = 18
Turn = Image.Transpose
TURNS = {  # EXIF's orientation -> what makes the picture upright
    2: Turn.FLIP_LEFT_RIGHT,
    3: Turn.ROTATE_180,
    4: Turn.FLIP_TOP_BOTTOM,
    5: Turn.TRANSPOSE,
    6: Turn.ROTATE_270,
    7: Turn.TRANSVERSE,
    8: Turn.ROTATE_90,
}


def grid(images: Sequence[Image.Image], columns: int, captions: Sequence[str] = ()) -> Image.Image:
    """Images in rows of ``columns``, each row under its caption if there are captions.

    Raises ``ValueError`` where there is no image or the captions are not one a row.
    """
    rows = -(-len(images) // columns)
    if not images or (captions and len(captions) != rows):
        raise ValueError(f"{len(images)} images in rows of {columns} do not go with {len(captions)} captions")
    side = max(max(image.size) for image in images)
    side *= max(1, -(-CELL // side))
    header = CAPTION_HEIGHT if captions else 0
    font = ImageFont.load_default(size=13)
    width = max([columns * (side + GAP), *(int(font.getlength(caption)) + GAP for caption in captions)]) + GAP
    sheet = Image.new("RGB", (width, rows * (side + header + GAP) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        top = row * (side + header + GAP) + GAP
        if captions and column == 0:
            draw.text((GAP, top), captions[row], fill="black", font=font)
        across, high = (round(side * edge / max(image.size)) for edge in image.size)
        enlarged = image.resize((across, high), Image.Resampling.LANCZOS)
        left, down = (side - across) // 2, (side - high) // 2
        sheet.paste(enlarged, (GAP + column * (side + GAP) + left, top + header + down))
    return sheet


def save_png(image: Image.Image, path: Path, settings: Mapping[str, object]) -> None:
    """Write a PNG whose text chunks hold ``settings``, a chunk each. Raises ``ValueError`` where that fails."""
    try:
        path.write_bytes(png_bytes(image, settings))
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}") from error


def png_bytes(image: Image.Image, settings: Mapping[str, object]) -> bytes:
    """A PNG file whose text chunks hold ``settings``, a chunk each."""
    info, file = PngInfo(), io.BytesIO()
    for key, value in settings.items():
        info.add_itxt(key, str(value))
    image.save(file, "PNG", pnginfo=info)
    return file.getvalue()


def read_settings(source: str | Path | BinaryIO) -> dict[str, str]:
    """What the text chunks of a PNG file hold. Raises ``ValueError`` where it is none, or holds no prompt."""
    try:
        with Image.open(source, formats=["PNG"]) as image:
            texts = dict(getattr(image, "text", {}))
    except Exception as error:  # decoders raise whatever a damaged file makes them stumble over
        raise ValueError("this is not a PNG file that can be read") from error
    if "prompt" not in texts:
        raise ValueError("this PNG file does not say how it was drawn")
    return texts


def read_image(
    source: str | Path | BinaryIO,
    name: str | None = None,
    formats: tuple[str, ...] | None = None,
    most: int | None = None,
) -> Image.Image:
    """An image file, or the bytes of one called ``name``, as RGB: upright, on white where it is transparent.

    formats: of files, in Pillow's names (default: all that it reads); most: pixels. Raises ``ValueError`` in one line
    where it is missing, damaged, no image or too large.
    """
    name = str(source) if name is None else name
    try:
        with Image.open(source, formats=formats) as image:
            if most is not None and image.width * image.height > most:
                raise ValueError(f"{image.width} x {image.height} pixels are more than {most:,}")
            return to_rgb(upright(image))
    except UnidentifiedImageError as error:
        raise ValueError(f"{name} is not an image that can be read") from error
    except Exception as error:  # decoders raise whatever a damaged file makes them stumble over
        raise ValueError(f"cannot read the image {name}: {error}") from error


def upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF data say. Pillow's own way writes the other tags anew, which odd ones prevent."""
    turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image) -> Image.Image:
    """Any image as 8-bit RGB. Raises ``ValueError`` for floating-point images, whose range nobody knows."""
    if image.mode.startswith("I"):  # 16 bits and more
        levels = np.asarray(image).astype(np.int64)
        return Image.fromarray((levels.clip(0, 65_535) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("it holds floating-point numbers")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image.convert("RGB")
