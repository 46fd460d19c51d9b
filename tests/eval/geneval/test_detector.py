"""How Mask2Former's outputs become objects, and CLIP's their colours, on made-up outputs."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from eval.geneval.colors import average_forms, color_prompts, cut_out, nearest_color
from eval.geneval.detector import CLASSES, TOP, Geometry, geometry_of, read_out
from eval.geneval.score import COLORS

PLAIN = Geometry((8, 8), (8, 8), (8, 8))


def class_logits(*labels: str | None, sure: float = 50.0) -> np.ndarray:
    """A query a label, all but certain of it; None is "no object"."""
    logits = np.zeros((len(labels), len(CLASSES) + 1), np.float32)
    for row, label in enumerate(labels):
        logits[row, len(CLASSES) if label is None else CLASSES.index(label)] = sure
    return logits


def mask_logits(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (8, 8), value: float = 20.0) -> np.ndarray:
    """A mask a box (x0, y0, x1, y1), ends excluded."""
    logits = np.full((len(boxes), *size), -20.0, np.float32)
    for row, (x0, y0, x1, y1) in enumerate(boxes):
        logits[row, y0:y1, x0:x1] = value
    return logits


def test_classes_are_cocos_in_order_under_genevals_names():
    assert len(set(CLASSES)) == len(CLASSES) == 80
    places = {0: "person", 16: "dog", 64: "computer mouse", 65: "tv remote", 66: "computer keyboard", 79: "toothbrush"}
    assert {place: CLASSES[place] for place in places} == places


def test_score_is_class_probability_times_mean_mask_probability_and_a_query_may_be_several_classes():
    logits = mask_logits((0, 0, 2, 1))
    logits[0, 0, 0], logits[0, 0, 1] = math.log(3), math.log(9)  # probabilities 0.75 and 0.9
    classes = class_logits("dog", sure=math.log(80))  # probability 80 / (80 + 80)
    best = read_out(classes, logits, PLAIN)[0]
    assert best.detection.label == "dog"
    assert best.detection.score == pytest.approx(0.5 * (0.75 + 0.9) / 2)
    assert best.mask.dtype == bool and best.mask.sum() == 2
    classes = class_logits("cat")
    classes[0, CLASSES.index("dog")] = 50.0
    found = read_out(classes, mask_logits((0, 0, 4, 4)), PLAIN, min_score=0.1)
    assert [one.detection.label for one in found] == ["cat", "dog"]
    assert [one.detection.score for one in found] == pytest.approx([0.5, 0.5])


def test_only_the_top_100_pairs_become_objects_best_first():
    labels = ["cat"] + ["dog"] * 120
    classes = class_logits(*labels)
    classes[1:21, CLASSES.index("dog")] = 3.0  # the weakest
    masks = mask_logits(*[(0, 0, 4, 4)] * 121)
    masks[0][masks[0] > 0] = 3.0
    found = read_out(classes, masks, PLAIN)
    assert len(found) == TOP and all(one.detection.score > 0.94 for one in found)
    assert [one.detection.label for one in found] == ["dog"] * 99 + ["cat"]


@pytest.mark.parametrize(
    ("label", "box", "geometry", "least"),
    [
        (None, (0, 0, 4, 4), PLAIN, 0.01),  # "no object" takes probability and is none
        ("dog", (0, 0, 0, 0), PLAIN, 0.0),  # an empty mask
        ("dog", (0, 6, 8, 8), Geometry((4, 8), (4, 8), (8, 8)), 0.0),  # a mask in the padding alone
    ],
)
def test_what_is_no_object(label, box, geometry, least):
    assert read_out(class_logits(label), mask_logits(box), geometry, min_score=least) == []


def test_logit_of_exactly_0_is_outside_the_mask_and_min_score_is_strict():
    logits = np.zeros((1, 8, 8), np.float32)
    logits[0, 3, 3:5] = logits[0, 5, 1] = 1.0
    (found,) = read_out(class_logits("dog"), logits, PLAIN, min_score=0.3)
    assert found.mask.sum() == 3
    assert found.detection.box == (1.0, 3.0, 5.0, 6.0), "it ends behind the last index"
    assert read_out(class_logits("dog"), logits, PLAIN, found.detection.score) == []


def test_masks_are_enlarged_before_they_are_cut_off_and_padding_before_they_are_scaled():
    logits = np.full((1, 2, 2), -1.0, np.float32)
    logits[0, 0, 0] = 3.0
    (found,) = read_out(class_logits("dog"), logits, PLAIN, min_score=0.1)
    big = torch.nn.functional.interpolate(torch.from_numpy(logits)[None], (8, 8), mode="bilinear", align_corners=False)
    assert np.array_equal(found.mask, (big[0, 0] > 0).numpy())
    assert found.mask.sum() != 16  # nearest neighbours of a mask that is cut off first
    # an input of 8 x 8 whose upper half is the image, 4 x 8, of an original of 8 x 16
    (found,) = read_out(class_logits("dog"), mask_logits((0, 0, 4, 8)), Geometry((8, 16), (4, 8), (8, 8)), 0.3)
    assert found.mask.shape == (8, 16)
    assert found.detection.box == (0.0, 0.0, 8.0, 8.0)  # the left half, full height


def test_pieces_do_not_matter(monkeypatch):
    rng = np.random.default_rng(0)
    classes, masks = rng.normal(size=(12, 81)) * 4, rng.normal(size=(12, 4, 4)) * 4
    geometry = Geometry((10, 7), (9, 6), (16, 8))
    whole = read_out(classes, masks, geometry)
    monkeypatch.setattr("eval.geneval.detector.PIECE", 5)
    pieces = read_out(classes, masks, geometry)
    assert [one.detection for one in whole] == [one.detection for one in pieces]


def test_other_logits_are_refused():
    for classes, masks in (((2, 80), (2, 4, 4)), ((2, 81), (3, 4, 4)), ((2, 81), (2, 16)), ((81,), (1, 4, 4))):
        with pytest.raises(ValueError, match="expected class logits"):
            read_out(np.zeros(classes), np.zeros(masks), PLAIN)
    with pytest.raises(ValueError, match="not finite"):
        read_out(np.full((1, 81), np.nan), np.zeros((1, 4, 4)), PLAIN)


def test_shorter_edge_becomes_800_and_the_longer_is_at_most_1333():
    assert geometry_of(384, 384) == ((384, 384), (800, 800), (800, 800))
    assert geometry_of(600, 800) == ((600, 800), (800, 1067), (800, 1088))
    assert geometry_of(400, 1000) == ((400, 1000), (533, 1333), (544, 1344))


# --- colours ---


def test_object_stands_on_grey_and_is_cropped_to_its_box():
    image = Image.new("RGB", (6, 5), (200, 10, 10))
    mask = np.zeros((5, 6), bool)
    mask[1, 2] = mask[3, 4] = True
    cut = np.asarray(cut_out(image, mask, (2.0, 1.0, 5.0, 4.0)))
    assert cut.shape == (3, 3, 3)
    assert cut[0, 0].tolist() == cut[2, 2].tolist() == [200, 10, 10]
    assert (cut[0, 1:] == 0x99).all() and (cut[1] == 0x99).all()
    with pytest.raises(ValueError, match="does not fit"):
        cut_out(image, np.zeros((6, 5), bool), (0, 0, 1, 1))


def test_three_forms_of_ten_colours_with_the_prompts_class():
    prompts = color_prompts("tv remote")
    assert len(prompts) == len(COLORS) == 10
    assert prompts[0] == ["a photo of a red tv remote", "a photo of a red-colored tv remote", "a photo of a red object"]


def test_forms_are_normalised_before_and_after_they_are_averaged_and_the_largest_cosine_wins():
    embeddings = torch.tensor([[[10.0, 0.0], [0.0, 1.0]]])  # the long one must not outweigh the other
    assert torch.allclose(average_forms(embeddings), torch.tensor([[0.5**0.5, 0.5**0.5]]))
    assert nearest_color(torch.arange(10.0), torch.eye(10)) == "white"
    assert nearest_color(-torch.arange(10.0), torch.eye(10)) == "red"
