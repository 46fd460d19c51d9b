"""Pictures of a comparison: quality against compute, and what the models drew, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from PIL import Image, ImageDraw, ImageFont

from janusflow.pictures import CAPTION_HEIGHT, CELL, GAP, grid

QUALITY_NAMES = {
    "overall": "GenEval rules, mean of the tags",
    "frechet": "Fréchet distance, SigLIP features",
    "diversity": "diversity of a prompt's pictures",
}
COST_NAMES = {"flops": "operations per image (FLOPs)", "seconds": "seconds per image"}
DPI = 110
LABEL_SIZE = 7
# Where a label may stand, in points from its dot, nearest first.
PLACES = [(4, 3), (4, -9), (-4, 3), (-4, -9), (0, 7), (0, -13), (8, 10), (8, -16), (-8, 10), (-8, -16)]


def plot_sweep(sweep: Mapping[str, Sequence[dict[str, Any]]], quality: str, cost: str) -> Figure:
    """The points of every model in the plane of ``cost`` (log) and ``quality``, its Pareto front as a line.

    Labels are the settings' short names; the fronts' come first, and one that finds no room is left out.
    """
    figure = Figure(figsize=(10, 6))
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    wanted = []
    for number, (name, points) in enumerate(sweep.items()):
        color = f"C{number}"
        front = [point for point in points if [quality, cost] in point["fronts"]]
        front.sort(key=lambda point: point[cost])
        axis.plot([p[cost] for p in front], [p[quality] for p in front], color=color, linewidth=1.5, label=name)
        axis.scatter([p[cost] for p in points], [p[quality] for p in points], s=18, color=color)
        wanted += [(point not in front, point, color) for point in points]
    axis.set(xscale="log", xlabel=COST_NAMES[cost], ylabel=QUALITY_NAMES[quality])
    axis.margins(0.06, 0.08)
    axis.grid(True, which="major", color="0.92")
    axis.set_axisbelow(True)
    axis.legend(loc="best")
    figure.tight_layout()
    wanted.sort(key=lambda item: item[0])  # fronts first
    places = [((point[cost], point[quality]), point["short"], color) for _, point, color in wanted]
    label_points(axis, places)
    return figure


def label_points(axis: Axes, wanted: Sequence[tuple[tuple[float, float], str, str]]) -> None:
    """Write (point, text, colour) beside the points, each in the first place that nothing else takes."""
    canvas = axis.figure.canvas
    assert isinstance(canvas, FigureCanvasAgg), "other canvases cannot measure text"
    renderer = canvas.get_renderer()
    frame = axis.get_window_extent(renderer)
    legend = axis.get_legend()
    taken = [] if legend is None else [legend.get_window_extent(renderer)]
    for point, _, _ in wanted:
        x, y = axis.transData.transform(point)
        taken.append(Bbox.from_extents(x - 3, y - 3, x + 3, y + 3))
    for point, text, color in wanted:
        for dx, dy in PLACES:
            label = _write(axis, point, text, color, dx, dy)
            box = label.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not box.count_overlaps(taken):
                taken.append(box)
                break
            label.remove()


def _write(axis: Axes, point: tuple[float, float], text: str, color: str, dx: int, dy: int) -> Annotation:
    side = "left" if dx > 0 else "right" if dx < 0 else "center"
    return axis.annotate(
        text, point, (dx, dy), textcoords="offset points", fontsize=LABEL_SIZE, color=color, horizontalalignment=side
    )


def draw_side_by_side(pictures: Mapping[str, Sequence[Sequence[Image.Image]]], prompts: Sequence[str]) -> Image.Image:
    """A row for each prompt, its caption above it; the models side by side, each with the same seeds."""
    names = list(pictures)
    seeds = len(pictures[names[0]][0])
    cells = [image for row in range(len(prompts)) for name in names for image in pictures[name][row]]
    sheet = grid(cells, len(names) * seeds, prompts)
    side = max(cells[0].size)
    side *= max(1, -(-CELL // side))  # as the grid enlarges
    font = ImageFont.load_default(size=14)
    whole = Image.new("RGB", (sheet.width, sheet.height + CAPTION_HEIGHT + GAP), "white")
    whole.paste(sheet, (0, CAPTION_HEIGHT + GAP))
    draw = ImageDraw.Draw(whole)
    for number, name in enumerate(names):
        left = GAP + number * seeds * (side + GAP)
        draw.text((left, GAP), fit(name, seeds * (side + GAP) - GAP, font), fill="black", font=font)
        for row in range(len(prompts) if number else 0):  # a line between models, beside the pictures only
            bottom = CAPTION_HEIGHT + GAP + (row + 1) * (side + CAPTION_HEIGHT + GAP)
            draw.line((left - GAP // 2, bottom - side, left - GAP // 2, bottom), fill="black")
    return whole


def fit(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """``text``, cut where it is wider than ``width`` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
