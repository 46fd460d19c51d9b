"""The page that ends a run: pictures, loss curves and the score table, each number with its protocol."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from PIL import Image

from janusflow.data.shapes.prompts import benchmark_prompts
from janusflow.pictures import grid

matplotlib.use("Agg")
from matplotlib import pyplot as plt

GRID_PROMPTS_PER_TAG = 2
SMOOTHING = 0.9  # of the running mean in the loss curves


def write_report(folder: Path, scores: dict[str, Any], images: Sequence[Image.Image], minutes: float | None) -> Path:
    """Write ``report.md`` with its pictures and ``scores.json`` into a run folder; returns the page's path."""
    (folder / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
    lines = [f"# {folder.name}", ""]
    if minutes is not None:
        lines += [f"Trained in {minutes:.1f} minutes.", ""]
    if images:
        draw_samples(scores, images).save(folder / "samples.png")
        lines += ["![Samples of the benchmark's prompts](samples.png)", "", *score_table(scores), ""]
    if (folder / "metrics.csv").exists():
        plot_losses(folder / "metrics.csv").savefig(folder / "losses.png", dpi=110)
        lines += ["## Losses", "", "![Loss curves](losses.png)", ""]
    previews = sorted((folder / "samples").glob("*.png"))
    if previews:
        lines += ["## Previews", ""]
        lines += [
            line for path in previews for line in (f"`{path.stem}`", "", f"![{path.stem}](samples/{path.name})", "")
        ]
    path = folder / "report.md"
    path.write_text("\n".join(lines).rstrip() + "\n")
    return path


def draw_samples(scores: dict[str, Any], images: Sequence[Image.Image]) -> Image.Image:
    """The first prompts of every tag, a row each."""
    protocol = scores["protocol"]
    per_tag, columns = protocol["prompts_per_tag"], protocol["images_per_prompt"]
    prompts = benchmark_prompts(per_tag, "train", protocol["benchmark_seed"])
    chosen = [index for index in range(len(prompts)) if index % per_tag < GRID_PROMPTS_PER_TAG]
    pictures = [images[index * columns + column] for index in chosen for column in range(columns)]
    return grid(pictures, columns, [prompts[index]["prompt"] for index in chosen])


def score_table(scores: dict[str, Any]) -> list[str]:
    """The scores as Markdown, in distribution beside held out."""
    seen, held = scores["in_distribution"], scores["held_out"]
    rows: list[tuple[str, float | None, float | None]] = []
    rows += [
        (f"GenEval rules: {tag}", value, held["generation"]["tags"].get(tag))
        for tag, value in seen["generation"]["tags"].items()
    ]
    rows.append(("**GenEval rules: mean of the tags**", seen["generation"]["overall"], held["generation"]["overall"]))
    rows += [
        (f"answers: {kind}", value, held["answers"]["kinds"][kind]) for kind, value in seen["answers"]["kinds"].items()
    ]
    rows.append(("**answers: all**", seen["answers"]["overall"], held["answers"]["overall"]))
    for key, label in (
        ("frechet_siglip", "Fréchet distance, SigLIP features (not FID)"),
        ("frechet_siglip_floor", "… between two rendered sets (floor)"),
        ("similarity", "image-text similarity, 100 x cosine"),
    ):
        rows.append((label, seen[key], held[key]))
    lines = ["| score | in distribution | held out |", "|---|---:|---:|"]
    lines += [f"| {name} | {number(a)} | {number(b)} |" for name, a, b in rows]
    return [*lines, "", *protocol_lines(scores)]


def protocol_lines(scores: dict[str, Any]) -> list[str]:
    """What the numbers mean."""
    p, seen, held = scores["protocol"], scores["in_distribution"], scores["held_out"]
    drawn = sum(seen["generation"]["images"].values()), sum(held["generation"]["images"].values())
    return [
        f"Protocol: checkpoint `{p['checkpoint']}`; {p['resolution']} px, {p['steps']} {p['sampler']} steps, "
        f"w = {p['guidance']:g}, {p['dtype']}; {p['images_per_prompt']} images a prompt with seeds {p['image_seeds']}, "
        f"{drawn[0]} images in distribution and {drawn[1]} held out; GenEval's rules over the {p['detector']} "
        f"(held out: only the tags that can show a held-out composition); greedy answers, exact match, "
        f"{seen['answers']['questions']} questions; Fréchet distance against {p['reference_images']} rendered scenes.",
    ]


def number(value: float | None) -> str:
    """A cell of the table."""
    return "–" if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def plot_losses(metrics: Path, group: str = "loss/") -> plt.Figure:
    """Every metric of ``metrics`` that starts with ``group``, stage after stage, smoothed over the raw points."""
    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    ends: dict[str, int] = {}
    with metrics.open(newline="") as file:
        for row in csv.DictReader(file):
            if not row["metric"].startswith(group):
                continue
            offset = sum(end for stage, end in ends.items() if stage != row["stage"])
            ends[row["stage"]] = max(ends.get(row["stage"], 0), int(row["step"]) + 1)
            curves[row["metric"].removeprefix(group)].append((offset + int(row["step"]), float(row["value"])))
    figure, axes = plt.subplots(1, max(len(curves), 1), figsize=(4 * max(len(curves), 1), 3), squeeze=False)
    for axis, (name, points) in zip(axes[0], curves.items(), strict=False):
        steps, values = zip(*points, strict=True)
        axis.plot(steps, values, color="0.8")
        axis.plot(steps, smooth(values))
        axis.set(title=name, xlabel="step")
        for end in list(ends.values())[:-1]:
            axis.axvline(end, color="0.6", linestyle=":")
    figure.tight_layout()
    return figure


def smooth(values: Sequence[float]) -> list[float]:
    """Exponential running mean, corrected for its start."""
    mean, weight, out = 0.0, 0.0, []
    for value in values:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        out.append(mean / weight)
    return out
