"""Files with one picture, or with four as a 2 x 2 grid without gaps: how many a file holds, and cutting it.

The official script takes ``--pic-num`` (1 by default; the benchmark's shell script says 4) and ``--resolution``, a
picture's side r, cuts squares of r pixels from the upper left corner, and looks at no size: a square beyond the picture
is black. Here a file that is not what was said is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from eval.dpg_bench.score import CROPS

SIDES = {1: 1, CROPS: 2}  # pictures in a file -> pictures beside each other


Size = tuple[int, int]  # of an image in pixels


def count_pictures(files: Iterable[Path], count: int | None, resolution: int | None) -> int:
    """How many pictures each of ``files`` holds: ``count``, or what sizes of ``resolution`` pixels a side mean.

    Files that are no images are passed over. Raises ``ValueError`` where neither says anything, and as
    :func:`check_size`; by resolution alone, all files must hold as many as the first.
    """
    if count is None and resolution is None:
        raise ValueError(
            "a file of --images may be one picture or a 2 x 2 grid of four: "
            "say which by --pic-num 1 or 4, or by --resolution, the side of one picture in pixels"
        )
    for path in files:
        try:
            with Image.open(path) as image:
                size = image.size
        except OSError:
            continue  # named when it is judged
        if count is None:
            count = next((number for number in SIDES if fits(size, number, resolution)), None)
        check_size(str(path), size, count, resolution)
    return count or CROPS  # without any image


def fits(size: Size, count: int, resolution: int | None) -> bool:
    """Whether ``count`` pictures of one size, squares of ``resolution`` pixels if it is given, make up that size."""
    side = SIDES[count]
    return all(length % side == 0 if resolution is None else length == side * resolution for length in size)


def check_size(name: str, size: Size, count: int | None, resolution: int | None) -> None:
    """Raises ``ValueError``, with the name and what was expected, unless :func:`fits`; None fits nothing."""
    if count is None or not fits(size, count, resolution):
        wanted = " or ".join(_wanted(number, resolution) for number in ([count] if count else SIDES))
        raise ValueError(f"{name} is {size[0]} x {size[1]} pixels, not {wanted}")


def split(image: Image.Image, count: int) -> list[Image.Image]:
    """The ``count`` pictures of a file that fits, row by row."""
    width, height = (length // SIDES[count] for length in image.size)
    corners = [(x * width, y * height) for y in range(SIDES[count]) for x in range(SIDES[count])]
    return [image.crop((x, y, x + width, y + height)) for x, y in corners]


def _wanted(count: int, resolution: int | None) -> str:
    what = "one picture" if count == 1 else "a 2 x 2 grid of four"
    size = "of even sides" if resolution is None else f"of {SIDES[count] * resolution} x {SIDES[count] * resolution}"
    return f"{what} {size} (--pic-num {count}{'' if resolution is None else f' --resolution {resolution}'})"
