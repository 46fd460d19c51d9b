"""The oracle reads pictures back: drawn scenes exactly, under mild damage too, and it distrusts what is no shape."""

from collections import Counter
from functools import cache
from itertools import permutations

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from eval.worlds.oracle import Detection, detect
from janusflow.worlds.casts import unit
from janusflow.worlds.scenes import Scene, World, frame_of, held_out_kinds, sample_scene
from janusflow.worlds.shapes import SHAPES, draw_shape
from janusflow.worlds.vocabulary import BACKGROUNDS, COLORS, KINDS

HELD_OUT = held_out_kinds(World("shapes").things)
COMBINATIONS = [(kind, "train") for kind in KINDS] + [(kind, "held_out") for kind in HELD_OUT]
CONDITIONS = {"clean": (0.0, 0.0), "blurred": (0.6, 0.0), "noisy": (0.0, 8.0), "blurred and noisy": (0.6, 8.0)}
GREY = BACKGROUNDS["grey"]


@cache
def scene(index: int, level: str = "free") -> Scene:
    kind, split = COMBINATIONS[index % len(COMBINATIONS)]
    return sample_scene(np.random.default_rng([77, index]), kind, split, World("shapes", level))


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
    things = Counter((thing.name, thing.color) for thing in truth.objects)
    if Counter((detection.shape, detection.color) for detection in kept) != things:
        return f"expected {dict(things)} on {truth.background.name}, found {kept}"
    for thing in truth.objects:
        boxes = [d.box for d in kept if (d.shape, d.color) == (thing.name, thing.color)]
        error = min(np.abs(np.array(box) - size * np.array(thing.box)).max() for box in boxes)
        if error > max(size / 48, 1):
            return f"box of {thing} is {error:.2f} pixels off"
    doubtful = [detection for detection in kept if detection.score <= 0.9]
    return f"doubtful: {doubtful}" if doubtful else ""


@pytest.mark.parametrize(("level", "size", "amount"), [("free", 48, 150), ("free", 96, 30), ("fixed", 48, 50)])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_scenes_are_read_right(condition: str, level: str, size: int, amount: int):
    complaints = []
    for index in range(amount):
        truth = scene(index, level)
        image = damaged(truth.render(size), *CONDITIONS[condition], seed=index)
        complaints.append(complaint(truth, detect(image), size))
    wrong = [text for text in complaints if text]
    assert len(wrong) <= 0.005 * amount, wrong[:3]


def opacity(shape: str, x: float = 24, y: float = 24, size: float = 12.5) -> np.ndarray:
    canvas = Image.new("L", (48 * 8, 48 * 8), 0)
    draw_shape(ImageDraw.Draw(canvas), shape, x * 8, y * 8, size * 8, 255, 0)
    return np.asarray(canvas.resize((48, 48), Image.Resampling.BOX), float) / 255


def painted(*layers: tuple[np.ndarray, str], ground: tuple | np.ndarray = GREY) -> np.ndarray:
    """Opacity maps painted one over the other on a plain background."""
    levels = np.zeros((48, 48, 3)) + ground
    for alpha, color in layers:
        levels = levels * (1 - alpha[..., None]) + np.array(COLORS[color]) * alpha[..., None]
    return np.clip(levels.round(), 0, 255).astype(np.uint8)


def top_score(image: np.ndarray, color: str | None = None) -> float:
    """The best score of all that is found, or of what has that colour."""
    return max((found.score for found in detect(image) if color in (None, found.color)), default=0.0)


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_in_every_color_and_no_faint_ghost_of_it(shape: str, color: str):
    [found] = detect(painted((opacity(shape, 20.3, 27.6), color)))
    assert (found.shape, found.color) == (shape, color) and 0.99 < found.score <= 1
    faint, half = (painted((share * opacity(shape), color)) for share in (0.35, 0.5))
    assert top_score(faint, color) < 0.1 and top_score(faint) < 0.5
    assert top_score(half, color) < 0.5 and top_score(half) < 0.9
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


def touching(index: int) -> tuple[Counter, np.ndarray]:
    """Two shapes of two colours on any background, the second moved towards the first until they meet."""
    rng = np.random.default_rng([21, index])
    shapes, sizes = rng.choice(SHAPES, 2), 48 * np.exp(rng.uniform(*np.log((0.2, 0.5)), 2))
    colors = rng.choice(list(COLORS), 2, replace=False)
    first = opacity(shapes[0], 17, 24 + rng.uniform(-2, 2), sizes[0])
    for x in np.arange(17 + sizes.sum() / 2, 17, -0.25):
        second = opacity(shapes[1], x, 24, sizes[1])
        if (first * second).max() > 0.2:
            break
    ground = BACKGROUNDS[rng.choice(list(BACKGROUNDS))]
    layers = [(second, colors[1]), (first, colors[0])]
    return Counter(zip(shapes, colors, strict=True)), painted(*layers, ground=ground)


@pytest.mark.parametrize(("condition", "wrong"), [("clean", 2), ("blurred and noisy", 6)])
def test_touching_shapes_of_different_colors_come_apart(condition: str, wrong: int):
    missed = []
    for index in range(120):
        shown, image = touching(index)
        found = detect(damaged(Image.fromarray(image), *CONDITIONS[condition], seed=index))
        if Counter((d.shape, d.color) for d in found if d.score > 0.3) != shown:
            missed.append((dict(shown), found))
    assert len(missed) <= wrong, missed[:3]


@pytest.mark.parametrize("ground", BACKGROUNDS)
def test_colors_in_between_have_the_nearest_name_unless_they_are_hardly_there(ground: str):
    behind, disc = np.array(BACKGROUNDS[ground], float), opacity("circle")
    for one, other in permutations(COLORS, 2):
        paint = 0.6 * np.array(COLORS[one]) + 0.4 * np.array(COLORS[other])
        distances = {name: float(np.linalg.norm(paint - color)) for name, color in COLORS.items()}
        nearest = min(distances.values())
        image = np.rint(behind + disc[..., None] * (paint - behind)).astype(np.uint8)
        found = [detection for detection in detect(image) if detection.score > 0.3]
        if found or np.linalg.norm(paint - behind) > nearest:
            [only] = found
            assert only.shape == "circle" and distances[only.color] < nearest + 3, (one, other, only)


def test_pictures_without_shapes_give_nothing():
    empty = painted()
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    plain = np.zeros((48, 48, 3), np.uint8), np.full((4, 4, 3), 172, np.uint8), Image.new("RGB", (1, 1))
    for image in (empty, damaged(Image.fromarray(empty), 0, 8, seed=0), noise, *plain):
        assert detect(image) == []
    stripes = empty.copy()  # none of the faint one's pixels is as strong as its surroundings: it has no core of its own
    stripes[10:40, 20:24] = stripes[10:40, 27:31] = (220, 30, 30)
    stripes[10:40, 25] = 0.5 * np.array(GREY) + 0.5 * np.array((220, 30, 30))
    detect(stripes)


def test_best_score_comes_first_and_arrays_read_like_pictures():
    image = painted(
        (opacity("star", x=12), "blue"), (0.6 * opacity("ring", x=36), "red"), (opacity("cross", y=40), "red")
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
        found = detect(scene(index).render(size).convert("RGBA"))
        assert Counter((d.shape, d.color) for d in found) == Counter((t.name, t.color) for t in scene(index).objects)
        assert complaint(scene(index), found, size) == ""


@pytest.mark.parametrize("size", [(32, 64), (64, 32), (40, 56), (80, 112)])
def test_pictures_of_other_shapes_are_read_where_they_are_asked_for(size):
    wrong = []
    for index in range(40):
        truth = sample_scene(np.random.default_rng([78, index]), world=World("shapes", "free"), frame=frame_of(*size))
        wrong.append(complaint(truth, detect(truth.render(size), oblong=True), unit(size)))
    wrong = [text for text in wrong if text]
    assert len(wrong) <= 1, wrong[:3]


def test_other_layouts_are_errors():
    for shape in ((48, 40, 3), (48, 48), (48, 48, 4)):
        with pytest.raises(ValueError, match="48"):
            detect(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="float"):
        detect(np.zeros((48, 48, 3)))
