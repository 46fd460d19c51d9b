"""Loss curves of one or several runs, from their ``metrics.csv``."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

from matplotlib.figure import Figure

SMOOTHING = 0.9  # of the running mean
IN_A_PANEL = 6  # labels that have room beside the lines; more stand below all panels ...
IN_A_ROW = 3  # ... so many beside each other
Curve = list[tuple[int, float]]


def read_curves(metrics: Path, group: str = "loss/") -> tuple[dict[str, Curve], list[int]]:
    """Every metric whose name starts with ``group``, stage after stage on one axis, and the steps where stages end.

    Raises ``ValueError`` with the path where the file cannot be read.
    """
    curves: dict[str, Curve] = {}
    ends: dict[str, int] = {}
    try:
        with metrics.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise ValueError(f"cannot read the metrics {metrics}: {error.strerror}") from error
    for row in rows:
        offset = sum(end for stage, end in ends.items() if stage != row["stage"])
        ends[row["stage"]] = max(ends.get(row["stage"], 0), int(row["step"]) + 1)
        if row["metric"].startswith(group):
            point = (offset + int(row["step"]), float(row["value"]))
            curves.setdefault(row["metric"].removeprefix(group), []).append(point)
    return curves, [sum(list(ends.values())[: n + 1]) for n in range(len(ends))]


def plot_losses(runs: Mapping[str, Path]) -> Figure:
    """The losses of the ``metrics.csv`` files in ``runs``, a panel each and a smoothed line for every run's name.

    With one run the raw points stand behind the line; dotted lines separate its stages. The losses of held-out samples
    are marked, a mark for each source.
    """
    read = {name: read_curves(path) for name, path in runs.items()}
    held = {name: read_curves(path, "validation/")[0] for name, path in runs.items()}
    panels = list(dict.fromkeys(metric for curves, _ in read.values() for metric in curves))
    columns = max(len(panels), 1)
    figure = Figure(figsize=(4 * columns, 3), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)
    for axis, metric in zip(axes[0], panels, strict=False):
        for name, (curves, ends) in read.items():
            if metric not in curves:
                continue
            steps, values = zip(*curves[metric], strict=True)
            if len(read) == 1:
                axis.plot(steps, values, color="0.8")
            (line,) = axis.plot(steps, smooth(values), label=name)
            marks = {source: points for source, points in held[name].items() if source.endswith(f"/{metric}")}
            for mark, (source, points) in zip(cycle("os^Dv"), marks.items(), strict=False):
                label = f"{name}: {source.rpartition('/')[0]}, held out"
                axis.plot(*zip(*points, strict=True), mark, linestyle="--", color=line.get_color(), label=label)
            for end in ends[:-1]:
                axis.axvline(end, color="0.6", linestyle=":")
        axis.set(title=metric, xlabel="step")
    labelled = [axis.get_legend_handles_labels() for axis in axes[0]]
    lines = {label: line for handles, labels in labelled for line, label in zip(handles, labels, strict=True)}
    if len(lines) > IN_A_PANEL:
        figure.set_figheight(3 + 0.2 * math.ceil(len(lines) / IN_A_ROW))
        figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=IN_A_ROW, fontsize="small")
    else:
        for axis, (_, labels) in zip(axes[0], labelled, strict=True):
            if len(read) > 1 or len(labels) > 1:
                axis.legend(fontsize="small")
    return figure


def smooth(values: Sequence[float]) -> list[float]:
    """Exponential running mean, corrected for its start."""
    mean, weight, out = 0.0, 0.0, []
    for value in values:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        out.append(mean / weight)
    return out
