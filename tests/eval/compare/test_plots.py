"""Plots: labels keep clear of each other, and the grid has every picture under its model."""

import numpy as np
from PIL import Image

from eval.compare.plots import draw_side_by_side, plot_sweep


def points(offset):
    """28 points, as close together as those of a real sweep."""
    rng = np.random.default_rng(offset)
    return [
        {
            "flops": 1e9 * (steps + 1) * (1 + (weight > 1)),
            "seconds": 0.02 * steps,
            "overall": min(1.0, 0.1 * weight + steps / 80 + 0.02 * rng.random()),
            "frechet": 1 / steps,
            "short": f"{steps}w{weight}",
            "fronts": [["overall", "flops"]] if weight == 2 else [],
        }
        for weight in (1, 2, 4, 8)
        for steps in (1, 2, 4, 8, 16, 30, 64)
    ]


def test_labels_do_not_overlap():
    figure = plot_sweep({"flow": points(0), "ar": points(1)}, "overall", "flops")
    (axis,) = figure.axes
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in axis.texts]
    assert len(boxes) > 25
    assert not any(box.count_overlaps(boxes[:number]) for number, box in enumerate(boxes))
    frame = axis.get_window_extent(renderer)
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)
    fronts = {point["short"] for point in points(0) if point["fronts"]}
    assert fronts <= {text.get_text() for text in axis.texts}
    assert [line.get_label() for line in axis.lines] == ["flow", "ar"] and len(axis.lines[0].get_xdata()) == 7


def test_models_stand_side_by_side():
    colors = {"first": ["red", "lime"], "second": ["blue", "yellow"]}
    shown = {
        name: [[Image.new("RGB", (48, 48), color)] * 2 for color in of_prompts] for name, of_prompts in colors.items()
    }
    sheet = np.asarray(draw_side_by_side(shown, ["a red circle", "a ring"])).astype(int)
    row = sheet[100]
    found = [tuple(row[x]) for x in (50, 150, 250, 350)]
    assert found == [(255, 0, 0), (255, 0, 0), (0, 0, 255), (0, 0, 255)]
    assert tuple(sheet[220, 50]) == (0, 255, 0) and tuple(sheet[220, 250]) == (255, 255, 0)
