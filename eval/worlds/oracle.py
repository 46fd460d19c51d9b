"""The oracle detector: reads the shapes of a picture back, without any learning.

1. Background: a plane in each channel, of what is near the frame's median. Foreground: pixels far from it, in connected
   regions.
2. A region has one paint, whatever its colour, or the palette colours of its flat core; a paint's pieces are where its
   opacity is above ``PIECE``, so shapes that touch come apart when their colours differ.
3. A piece's opacity map is compared with templates of the shapes (``shape_fit``); the best soft IoU names the shape.
   The palette names its colour.
4. The score is ``fit * margin * contrast * size``, each a straight ramp from 0 to 1 (see the constants).

Calibration, at 48 pixels, over free scenes. Drawn shapes have a soft IoU of 0.93 to 1, of 0.84 to 0.99 with a blur of
0.6 pixels and noise of 8 levels, and lead the next shape by at least 0.12, there by 0.07; ``fit`` and ``margin`` reach
1, and GenEval's thresholds of 0.9 and 0.3 mean: drawn properly, and recognisable. Median and 90th percentile of what is
neither, of all sizes and colours on all backgrounds: half a shape 0 and 0, two shapes run together 0 and 0, a shape
less its right quarter 0 and 0.22, a blob 0 and 0.21, a ring half filled in 0.42 and 0.50, blur of 2 pixels 0.41 and
0.87, a ghost of half its contrast 0.33 and 0.64. What ten pixels hardly show passes: a hexagon is a circle.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from eval.worlds.shape_fit import Fit, extent, fit_shape, sharpen
from janusflow.worlds.casts import unit
from janusflow.worlds.vocabulary import COLORS

# Pictures are read at one working size, at which their unit (a square's side, else the root of the area) has so many
# pixels; lengths below are in these, colours in 8-bit levels.
SIDE = 48
MIN_SIDE = 24  # a smaller picture cannot tell the shapes apart: nothing is detected

BORDER = 3  # pixels of the frame whose median the background's estimate begins with
NEAR_BACKGROUND = (60.0, 40.0, 28.0, 28.0)  # pixels nearer to the estimate than this make the next one
MIN_BACKGROUND = 0.3  # share of the picture that must be near, else it is no picture of this world
FOREGROUND = 36.0  # distance from the background: 4.5 standard deviations of the noise to be tolerated
MIN_AREA = 9.0  # summed opacity; less is a speck (the smallest shape has about 35)
ONE_PAINT = 45.0  # distance from their median, at whatever opacity, within which ...
ONE_PAINT_SHARE = 0.9  # ... so much of a region's core makes it a region of one paint, whatever its colour
MIN_COLOR_SHARE = 0.08  # of another region's core, for a colour to be one of its own
PIECE = 0.6  # opacity of a piece's pixels: a gap of one pixel, blurred, has about one half
REACH = 2.5  # how far beyond its piece a shape's soft edge may lie

# Ramps (value of 0, value of 1) that make up the score.
FIT_RAMP = (0.75, 0.90)  # soft IoU with the best template
FIT_NOISE = 0.4  # how far noise lowers that ramp: times its standard deviation over the shape's contrast, ...
MAX_NOISE = 0.12  # ... up to this ratio (pink, the faintest colour, has 0.1 at 8 levels of noise)
MARGIN_RAMP = (0.0, 0.07)  # its lead over the best template of another shape
CONTRAST_RAMP = (0.40, 0.70)  # distance from the background over the way from there to the named colour
SMALL_RAMP, LARGE_RAMP = (0.10, 0.15), (0.78, 0.64)  # diameter over the picture's side; the worlds have 0.17 to 0.54
MIN_SCORE = 0.02  # less is not reported


PALETTE = np.array(list(COLORS.values()), np.float32)


class Detection(NamedTuple):
    """One shape found: its class, colour name, confidence in [0, 1] and box (x0, y0, x1, y1).

    The box is in pixels of the picture, y downwards, and ends after the last pixel.
    """

    shape: str
    color: str
    score: float
    box: tuple[float, float, float, float]


def detect(image: Image.Image | np.ndarray, oblong: bool = False) -> list[Detection]:
    """The shapes in ``image``, best score first.

    ``image`` is a square Pillow picture or a ``(side, side, 3)`` array of 8-bit levels, or of any shape where
    ``oblong``. Pictures below ``MIN_SIDE`` pixels give ``[]``. Raises ``ValueError`` for another layout.
    """
    pixels, scale = _working_pixels(image, oblong)
    ground = _background(pixels) if pixels is not None else None
    if pixels is None or ground is None:
        return []
    background, noise = ground
    offset = pixels - background
    foreground = np.square(offset).sum(-1) > FOREGROUND**2
    pieces, regions = _pieces(offset, foreground, background)
    if not pieces.any():
        return []
    distance, (rows, columns) = ndimage.distance_transform_edt(pieces == 0, return_indices=True)
    owner = pieces[rows, columns]
    found = []
    for number in range(1, pieces.max() + 1):
        piece = pieces == number
        region = regions == regions[piece][0]
        window = (owner == number) & (region | (distance <= REACH))  # where the piece's own pixels may lie
        core = _core(piece)
        paint, behind = np.median(offset[core], axis=0), background[core].mean(0)
        alpha = sharpen(np.where(window, offset @ (paint / np.square(paint).sum()), 0.0))
        if alpha.sum() >= MIN_AREA:
            fit = fit_shape(alpha)
            color = list(COLORS)[int(np.square(PALETTE - behind - paint).sum(-1).argmin())]
            score = _score(fit, paint, np.array(COLORS[color], np.float32) - behind, noise)
            if score >= MIN_SCORE:
                found.append(Detection(fit.shape, color, score, _box(fit, scale, pixels.shape[:2])))
    return sorted(found, key=lambda detection: -detection.score)


def _working_pixels(image: Image.Image | np.ndarray, oblong: bool) -> tuple[np.ndarray | None, float]:
    """Levels [rows, columns, 3] and the factor from working pixels back to the picture's; ``None`` for tiny pictures.

    Both are SIDE of a square.
    """
    if not isinstance(image, Image.Image):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 levels of shape (side, side, 3), got {image.dtype} {image.shape}")
        image = Image.fromarray(image)
    if image.width != image.height and not oblong:
        raise ValueError(f"expected a square picture, got {image.width} x {image.height}")
    side = unit(image.size)
    if side < MIN_SIDE:
        return None, 1.0
    image = image.convert("RGB")
    if side != SIDE:
        working = round(image.width * SIDE / side), round(image.height * SIDE / side)
        image = image.resize(working, Image.Resampling.BOX if side > SIDE else Image.Resampling.BICUBIC)
    return np.asarray(image, np.float32), side / SIDE


def _background(pixels: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The background [rows, columns, 3], a plane in each channel, and the standard deviation of the noise on it;
    ``None`` where too little of the picture fits it."""
    frame = np.ones(pixels.shape[:2], bool)
    frame[BORDER:-BORDER, BORDER:-BORDER] = False
    terms = _plane(*pixels.shape[:2])
    plane = np.broadcast_to(np.median(pixels[frame], axis=0), pixels.shape)
    for near in NEAR_BACKGROUND:
        close = np.square(pixels - plane).sum(-1) < near**2
        if close.mean() < MIN_BACKGROUND:
            return None
        weights, *_ = np.linalg.lstsq(terms[close], pixels[close], rcond=None)
        plane = terms @ weights
    return plane.astype(np.float32), 1.4826 * float(np.median(np.abs((pixels - plane)[close])))


@lru_cache(maxsize=8)
def _plane(rows: int, columns: int) -> np.ndarray:
    """1, x and y of every pixel, [rows, columns, 3]."""
    across, down = (np.linspace(-1, 1, count, dtype=np.float32) for count in (columns, rows))
    return np.stack([np.ones((rows, columns), np.float32), *np.meshgrid(across, down)], -1)


def _pieces(offset: np.ndarray, foreground: np.ndarray, background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The map of pieces (0 none, then 1, 2, ...), and the map of the regions they are in."""
    regions, _ = ndimage.label(foreground)
    pieces = np.zeros(regions.shape, np.int32)
    count = 0
    norm = np.sqrt(np.square(offset).sum(-1))
    flat = foreground & (norm >= 0.85 * ndimage.maximum_filter(norm, 5))
    for number, where in enumerate(ndimage.find_objects(regions), start=1):
        region = regions[where] == number
        if region.sum() < MIN_AREA:
            continue
        core = offset[where][region & flat[where] if (region & flat[where]).any() else region]
        directions = _paints(core, background[where][region].mean(0))
        opacity = np.clip(offset[where] @ (directions / np.square(directions).sum(-1, keepdims=True)).T, 0, 1)
        residual = np.square(offset[where][..., None, :] - opacity[..., None] * directions).sum(-1)
        claimed = residual.argmin(-1)
        for k in range(len(directions)):
            parts, amount = ndimage.label(region & (claimed == k) & (opacity[..., k] > PIECE))
            for part in range(1, amount + 1):
                if (parts == part).sum() >= MIN_AREA:
                    count += 1
                    pieces[where][parts == part] = count
    return pieces, regions


def _paints(core: np.ndarray, background: np.ndarray) -> np.ndarray:
    """The paints (n, 3) of a region's flat pixels (P, 3), relative to the background: its one tone, or palette colours
    where shapes of several touch."""
    middle = np.median(core, axis=0)
    opacity = np.clip(core @ middle / max(middle @ middle, 1.0), 0, 1)[:, None]
    if (np.square(core - opacity * middle).sum(-1) < ONE_PAINT**2).mean() >= ONE_PAINT_SHARE:
        return middle[None]
    palette = PALETTE - background
    votes = np.bincount(np.square(core[:, None] - palette).sum(-1).argmin(-1), minlength=len(COLORS))
    return palette[votes >= max(MIN_COLOR_SHARE * votes.sum(), 1)]


def _core(piece: np.ndarray) -> np.ndarray:
    core = ndimage.binary_erosion(piece)
    return core if core.sum() >= MIN_AREA else piece


def _score(fit: Fit, paint: np.ndarray, named: np.ndarray, noise: float) -> float:
    """The confidence of the module's docstring; ``paint`` and ``named`` are colours relative to the background."""
    done, left = float(np.linalg.norm(paint)), float(np.linalg.norm(named - paint))
    allowance = FIT_NOISE * min(noise / done, MAX_NOISE)
    diameter = fit.pose.size / SIDE
    return (
        _ramp(fit.iou + allowance, FIT_RAMP)
        * _ramp(fit.margin, MARGIN_RAMP)
        * _ramp(done / (done + left), CONTRAST_RAMP)
        * min(_ramp(diameter, SMALL_RAMP), _ramp(diameter, LARGE_RAMP))
    )


def _box(fit: Fit, scale: float, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    rows, columns = shape
    x0, y0, x1, y1 = (
        float(np.clip(center + 0.5 + fit.pose.size * edge, 0, most)) * scale
        for center, edge, most in zip((fit.pose.x, fit.pose.y) * 2, extent(fit.shape), (columns, rows) * 2, strict=True)
    )
    return x0, y0, x1, y1


def _ramp(value: float, ramp: tuple[float, float]) -> float:
    zero, one = ramp
    return float(np.clip((value - zero) / (one - zero), 0.0, 1.0))
