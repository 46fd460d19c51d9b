"""Plots of the losses of several runs."""

from __future__ import annotations

import csv

import pytest

from eval.pages.curves import plot_losses


@pytest.fixture
def metrics(tmp_path):
    """A function that writes a run's ``metrics.csv``: losses of training and of held-out samples."""

    def write(name):
        path = tmp_path / f"{name}.csv"
        with path.open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["stage", "step", "metric", "value"])
            for step in range(4):
                rows.writerow(["one", step, "loss/flow", 2 - step / 4])
            rows.writerow(["one", 3, "validation/photos/flow", 1.5])
        return path

    return write


def test_few_runs_are_named_beside_their_lines(metrics):
    figure = plot_losses({name: metrics(name) for name in "abc"})
    assert not figure.legends
    named = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert named == ["a", "a: photos, held out", "b", "b: photos, held out", "c", "c: photos, held out"]


def test_many_runs_are_named_once_below_the_panels(metrics):
    figure = plot_losses({name: metrics(name) for name in "abcd"})
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 8
    assert figure.axes[0].get_legend() is None
    figure.draw_without_rendering()
    assert legend.get_window_extent().y1 < figure.axes[0].get_window_extent().y0
