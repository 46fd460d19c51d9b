"""The oracle reads pictures back: drawn scenes exactly, under mild damage too, and it distrusts what is no shape."""

from collections import Counter
from functools import cache

import numpy as np
import pytest
from janusflow.worlds.shapes.render import draw_shape, render
from janusflow.worlds.shapes.scenes import HELD_OUT_KINDS, Scene, SceneObject, sample_scene
from janusflow.worlds.shapes.vocabulary import BACKGROUND, COLORS, KINDS, SHAPES
from PIL import Image, ImageDraw
from scipy import ndimage

from eval.worlds.oracle import Detection, detect

COMBINATIONS = [(kind, "train") for kind in KINDS] + [(kind, "held_out") for kind in HELD_OUT_KINDS]
CONDITIONS = {"clean": (0.0, 0.0), "blurred": (0.6, 0.0), "noisy": (0.0, 8.0), "blurred and noisy": (0.6, 8.0)}


@cache
def scene(index: int) -> Scene:
    kind, split = COMBINATIONS[index % len(COMBINATIONS)]
    return sample_scene(np.random.default_rng([77, index]), kind, split)


@cache
def picture(index: int, size: int) -> Image.Image:
    return render(scene(index), size)


@cache
def true_box(item: SceneObject, size: int) -> np.ndarray:
    """Where the renderer puts paint when it draws the object alone, at half a pixel's resolution."""
    alone = np.asarray(render(Scene("", (), (item,), BACKGROUND), 2 * size), int)
    rows, columns = np.nonzero(np.abs(alone - np.array(BACKGROUND)).sum(-1) > 15)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 2


def damaged(image: Image.Image, blur: float, noise: float, seed: int) -> np.ndarray:
    """``blur`` in pixels of a 48-pixel picture, ``noise`` in 8-bit levels."""
    levels = np.asarray(image, float)
    if blur:
        sigma = blur * image.width / 48
        levels = ndimage.gaussian_filter(levels, (sigma, sigma, 0))
    levels = levels + np.random.default_rng(seed).normal(0, 1, levels.shape) * noise
    return np.clip(levels.round(), 0, 255).astype(np.uint8)


def complaint(truth: Scene, found: list[Detection], size: int) -> str:
    """Why the reading is not completely right; empty when it is."""
    kept = [detection for detection in found if detection.score > 0.3]
    objects = Counter((item.shape, item.color) for item in truth.objects)
    if Counter((detection.shape, detection.color) for detection in kept) != objects:
        return f"expected {dict(objects)}, found {kept}"
    for item in truth.objects:
        boxes = [d.box for d in kept if (d.shape, d.color) == (item.shape, item.color)]
        error = min(np.abs(np.array(box) - true_box(item, size)).max() for box in boxes)
        if error > 1.5:
            return f"box of {item} is {error:.2f} pixels off"
    doubtful = [detection for detection in kept if detection.score <= 0.9]
    return f"doubtful: {doubtful}" if doubtful else ""


@pytest.mark.parametrize(("size", "amount"), [(48, 200), (96, 40)])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_scenes_are_read_right(condition: str, size: int, amount: int):
    complaints = []
    for index in range(amount):
        image = damaged(picture(index, size), *CONDITIONS[condition], seed=index)
        complaints.append(complaint(scene(index), detect(image), size))
    wrong = [text for text in complaints if text]
    assert len(wrong) <= 0.005 * amount, wrong[:3]


def opacity(shape: str, x: float = 24, y: float = 24, size: float = 12.5) -> np.ndarray:
    canvas = Image.new("L", (48 * 8, 48 * 8), 0)
    draw_shape(ImageDraw.Draw(canvas), shape, x * 8, y * 8, size * 8, 255, 0)
    return np.asarray(canvas.resize((48, 48), Image.Resampling.BOX), float) / 255


def painted(*layers: tuple[np.ndarray, str]) -> np.ndarray:
    """Opacity maps painted one over the other on the plain background."""
    levels = np.zeros((48, 48, 3)) + BACKGROUND
    for alpha, color in layers:
        levels = levels * (1 - alpha[..., None]) + np.array(COLORS[color]) * alpha[..., None]
    return np.clip(levels.round(), 0, 255).astype(np.uint8)


def top_score(image: np.ndarray) -> float:
    return max((detection.score for detection in detect(image)), default=0.0)


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_in_every_color_and_no_faint_ghost_of_it(shape: str, color: str):
    [found] = detect(painted((opacity(shape, 20.3, 27.6), color)))
    assert (found.shape, found.color) == (shape, color) and 0.99 < found.score <= 1
    assert top_score(painted((0.35 * opacity(shape), color))) < 0.1
    assert top_score(painted((0.5 * opacity(shape), color))) < 0.5
    # soft edges and slight shifts of colour are tolerated
    seed = list(COLORS).index(color) * len(SHAPES) + list(SHAPES).index(shape)
    alpha = ndimage.gaussian_filter(opacity(shape, 23.6, 24.3), 0.8)
    shift = np.random.default_rng(seed).uniform(-15, 15, 3) * alpha[..., None]
    [found] = detect(np.clip(painted((alpha, color)) + shift, 0, 255).astype(np.uint8))
    assert (found.shape, found.color) == (shape, color) and found.score > 0.9


@pytest.mark.parametrize("color", ("pink", "black", "yellow"))
@pytest.mark.parametrize("shape", SHAPES)
def test_wrong_shapes_score_low(shape: str, color: str):
    whole = opacity(shape)
    left = whole.copy()
    left[:, 24:] = 0
    assert top_score(painted((left, color))) < 0.3, "the left half"
    merged = np.maximum(whole, opacity(shape, x=31.5))
    assert top_score(painted((merged, color))) < 0.3, "two run together"
    two_colored = painted((left, color), (whole - left, "blue"))
    assert top_score(two_colored) < 0.3, "half and half"
    smear = ndimage.gaussian_filter(whole, 2.0)
    assert top_score(painted((smear, color))) < 0.9, "a smear"
    for turned in (whole[:, ::-1].T, whole[::-1, ::-1]) if shape == "triangle" else ():
        assert top_score(painted((turned, color))) < 0.3, "a triangle that does not stand"


def test_rectangles_diamonds_and_blobs_score_low():
    box = np.zeros((48, 48))
    box[20:28, 17:31] = 1
    assert top_score(painted((box, "red"))) < 0.3
    rows, columns = np.mgrid[:48, :48] - 23.5
    diamond = (np.abs(rows) + np.abs(columns) < 7).astype(float)
    assert top_score(painted((diamond, "red"))) < 0.6
    lopsided = ((rows**2 + columns**2 < 36) | ((rows - 5) ** 2 + (columns - 4) ** 2 < 16)).astype(float)
    assert top_score(painted((lopsided, "red"))) < 0.6


def test_the_hole_tells_ring_from_circle():
    ring, disc = opacity("ring"), opacity("circle")
    for color in COLORS:
        assert top_score(painted(((ring + disc) / 2, color))) < 0.9, "a hole half filled in"


def test_touching_shapes_of_different_colors_come_apart():
    image = painted((opacity("square", x=18, size=13), "red"), (opacity("circle", x=30, size=13), "blue"))
    found = {(d.shape, d.color) for d in detect(image) if d.score > 0.9}
    assert found == {("square", "red"), ("circle", "blue")}


def test_pictures_without_shapes_give_nothing():
    empty = painted()
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    plain = np.zeros((48, 48, 3), np.uint8), np.full((4, 4, 3), 172, np.uint8), Image.new("RGB", (1, 1))
    for image in (empty, damaged(Image.fromarray(empty), 0, 8, seed=0), noise, *plain):
        assert detect(image) == []
    stripes = empty.copy()  # none of the faint one's pixels is as strong as its surroundings: it has no core of its own
    stripes[10:40, 20:24] = stripes[10:40, 27:31] = (220, 30, 30)
    stripes[10:40, 25] = 0.5 * np.array(BACKGROUND) + 0.5 * np.array((220, 30, 30))
    detect(stripes)


def test_best_score_comes_first_and_arrays_read_like_pictures():
    image = painted(
        (opacity("star", x=12), "blue"), (0.7 * opacity("ring", x=36), "red"), (opacity("cross", y=40), "red")
    )
    found = detect(image)
    scores = [detection.score for detection in found]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 0.9
    assert found == detect(Image.fromarray(image))


@pytest.mark.parametrize("size", (32, 40, 64, 256))
def test_other_sizes_are_read_with_boxes_in_their_own_pixels(size: int):
    for index in range(5):
        found = detect(picture(index, size).convert("RGBA"))
        assert Counter((d.shape, d.color) for d in found) == Counter((o.shape, o.color) for o in scene(index).objects)
        for item in scene(index).objects:
            boxes = [d.box for d in found if (d.shape, d.color) == (item.shape, item.color)]
            assert min(np.abs(np.array(box) - true_box(item, size)).max() for box in boxes) < 1.5 * max(size / 48, 1)


def test_other_layouts_are_errors():
    for shape in ((48, 40, 3), (48, 48), (48, 48, 4)):
        with pytest.raises(ValueError, match="48"):
            detect(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="float"):
        detect(np.zeros((48, 48, 3)))
