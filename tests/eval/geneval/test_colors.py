"""GenEval's colours without CLIP: the picture that is shown, the texts, and the choice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from eval.geneval.colors import average_forms, color_prompts, cut_out, nearest_color
from eval.geneval.score import COLORS


def test_object_stands_on_grey_and_is_cropped_to_its_box():
    image = Image.new("RGB", (6, 5), (200, 10, 10))
    mask = np.zeros((5, 6), bool)
    mask[1, 2] = mask[3, 4] = True
    cut = np.asarray(cut_out(image, mask, (2.0, 1.0, 5.0, 4.0)))
    assert cut.shape == (3, 3, 3)
    assert cut[0, 0].tolist() == cut[2, 2].tolist() == [200, 10, 10]
    assert (cut[0, 1:] == 0x99).all() and (cut[1] == 0x99).all()


def test_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        cut_out(Image.new("RGB", (6, 5)), np.zeros((6, 5), bool), (0, 0, 1, 1))


def test_three_forms_of_ten_colours_with_the_prompts_class():
    prompts = color_prompts("tv remote")
    assert len(prompts) == len(COLORS) == 10
    assert prompts[0] == ["a photo of a red tv remote", "a photo of a red-colored tv remote", "a photo of a red object"]


def test_forms_are_normalised_before_and_after_they_are_averaged():
    embeddings = torch.tensor([[[10.0, 0.0], [0.0, 1.0]]])  # the long one must not outweigh the other
    assert torch.allclose(average_forms(embeddings), torch.tensor([[0.5**0.5, 0.5**0.5]]))


def test_largest_cosine_wins():
    colors = torch.eye(10)
    assert nearest_color(torch.arange(10.0), colors) == "white"
    assert nearest_color(-torch.arange(10.0), colors) == "red"
