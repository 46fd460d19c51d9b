"""Scores over a grid of sampling settings, such as guidance and steps in JanusFlow's appendix; every point is a result.

The points lie in folders of their own, so a sweep goes on where it stopped and grows by further values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from eval.pages.page import Part, Picture, Section, Table, Text, write_page
from eval.result import Result, show
from eval.store import write_json

SWEEP = "sweep.json"
DPI = 110
DOUBLING = 4  # an axis whose largest value is that many times its smallest is logarithmic

Setting = dict[str, Any]


def settings_of(swept: Mapping[str, Sequence[Any]]) -> list[Setting]:
    """Every combination of the swept values. Raises ``ValueError`` where a value stands twice."""
    for name, values in swept.items():
        if len(set(values)) != len(values):
            raise ValueError(f"a value of {name} stands twice: {', '.join(map(str, values))}")
    return [dict(zip(swept, values, strict=True)) for values in product(*swept.values())]


def short_name(setting: Setting) -> str:
    """A setting as the name of a folder, such as ``guidance=2,steps=30``."""
    return ",".join(f"{name}={plain(value)}" for name, value in setting.items())


def plain(value: Any) -> str:
    """A value without needless decimals; no other has the same text."""
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def sweep(
    swept: Mapping[str, Sequence[Any]], folder: Path, run: Callable[[Setting, Path], Result | None]
) -> Path | None:
    """Score every setting with ``run(setting, its folder)``; the report's path, or None while a point is unfinished."""
    points = []
    for setting in settings_of(swept):
        print(short_name(setting), flush=True)
        result = run(setting, folder / short_name(setting))
        points.append((setting, result))
    finished = [(setting, result) for setting, result in points if result is not None]
    if len(finished) < len(points):
        return None
    return write_sweep(folder, swept, finished)


def write_sweep(folder: Path, swept: Mapping[str, Sequence[Any]], points: Sequence[tuple[Setting, Result]]) -> Path:
    """Write ``sweep.json``, the plots and the report."""
    _, first = points[0]
    headline = first["headline"]
    write_json(
        folder / SWEEP,
        {
            "task": first["task"],
            "headline": headline,
            "points": [
                {"setting": setting, "complete": result["complete"], "scores": result["scores"]}
                for setting, result in points
            ],
        },
    )
    parts: list[Part] = [Text(f"{first['title']}: {headline}.")]
    for name in plotted(swept):
        path = folder / f"{name}.png"
        plot(name, [(setting, main_score(result)) for setting, result in points], headline).savefig(path, dpi=DPI)
        parts.append(Picture(path, f"{headline} over {name}"))
    labels = list(dict.fromkeys(label for _, result in points for label in result["scores"]))
    rows = [
        [plain(value) for value in setting.values()]
        + [show(result["scores"].get(label)) for label in labels]
        + ["" if result["complete"] else "incomplete"]
        for setting, result in points
    ]
    parts.append(Table([*swept, *labels, ""], rows))
    return write_page(folder, [Section(f"Sweep: {first['title']}", parts, level=1)])


def main_score(result: Result) -> float | None:
    """The headline's value; its name may hold a count that differs between points."""
    value: float | None = result["scores"][result["headline"]]
    return value


def plotted(swept: Mapping[str, Sequence[Any]]) -> list[str]:
    """The swept settings with several values that are numbers: a plot each."""
    return [name for name, values in swept.items() if len(values) > 1 and not any(isinstance(v, str) for v in values)]


def plot(name: str, points: Sequence[tuple[Setting, float | None]], label: str) -> Figure:
    """The score over one setting; a line for every combination of the others."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for setting, score in points:
        others = short_name({key: value for key, value in setting.items() if key != name})
        if score is not None:
            lines.setdefault(others, []).append((setting[name], score))
    figure = Figure(figsize=(8, 5))
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for others, line in lines.items():
        line.sort()
        axis.plot([x for x, _ in line], [y for _, y in line], marker="o", markersize=4, label=others)
    values = sorted({setting[name] for setting, _ in points})
    if values[0] > 0 and values[-1] / values[0] >= DOUBLING:
        axis.set_xscale("log", base=2)
        axis.set_xticks(values, [f"{value:g}" for value in values])
        axis.minorticks_off()
    axis.set(xlabel=name.replace("_", " "), ylabel=label)
    axis.grid(True, color="0.92")
    axis.set_axisbelow(True)
    if len(lines) > 1:
        axis.legend(fontsize=8, ncols=math.ceil(len(lines) / 10))
    figure.tight_layout()
    return figure
