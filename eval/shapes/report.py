"""The page that ends a run: pictures, loss curves and the score table, each number with its protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from eval.pages.curves import plot_losses
from eval.shapes.benchmark import FEATURE_SCORES
from eval.shapes.prompts import benchmark_prompts
from janusflow.pictures import grid

GRID_PROMPTS_PER_TAG = 2


def write_report(folder: Path, scores: dict[str, Any], images: Sequence[Image.Image], minutes: float | None) -> Path:
    """Write ``report.md`` with its pictures and ``scores.json`` into a run folder; returns the page's path."""
    (folder / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
    lines = [f"# {folder.name}", ""]
    if minutes is not None:
        lines += [f"Trained in {minutes:.1f} minutes.", ""]
    if images:
        draw_samples(scores, images).save(folder / "samples.png")
        lines += ["![Samples of the benchmark's prompts](samples.png)", ""]
    if scores:
        lines += [*score_table(scores), ""]
    if (folder / "metrics.csv").exists():
        plot_losses({folder.name: folder / "metrics.csv"}).savefig(folder / "losses.png", dpi=110)
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
    if "generation" in seen:
        drawn, unseen = seen["generation"], held["generation"]
        rows += [(f"GenEval rules: {tag}", value, unseen["tags"].get(tag)) for tag, value in drawn["tags"].items()]
        rows.append(("**GenEval rules: mean of the tags**", drawn["overall"], unseen["overall"]))
    if "answers" in seen:
        answers, unseen = seen["answers"], held["answers"]
        rows += [(f"answers: {kind}", value, unseen["kinds"][kind]) for kind, value in answers["kinds"].items()]
        rows.append(("**answers: all**", answers["overall"], unseen["overall"]))
    rows += [(label, seen[key], held[key]) for key, label in FEATURE_SCORES.items() if key in seen]
    lines = ["| score | in distribution | held out |", "|---|---:|---:|"]
    lines += [f"| {name} | {number(a)} | {number(b)} |" for name, a, b in rows]
    return [*lines, "", *protocol_lines(scores)]


def comparison_table(runs: dict[str, dict[str, Any]]) -> list[str]:
    """The main scores of several runs as Markdown, a run a line: in distribution, and held out after the stroke."""
    columns: dict[str, Callable[[dict[str, Any]], float | None]] = {
        "GenEval rules": lambda split: split.get("generation", {}).get("overall"),
        "Fréchet distance, SigLIP (not FID)": lambda split: split.get("frechet_siglip"),
        "image-text similarity": lambda split: split.get("similarity"),
        "answers": lambda split: split.get("answers", {}).get("overall"),
    }
    lines = [f"| run | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for name, scores in runs.items():
        seen, held = scores["in_distribution"], scores["held_out"]
        cells = [f"{number(read(seen))} / {number(read(held))}" for read in columns.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def protocol_lines(scores: dict[str, Any]) -> list[str]:
    """What the numbers mean."""
    p, seen, held = scores["protocol"], scores["in_distribution"], scores["held_out"]
    said = [f"checkpoint `{p['checkpoint']}`", f"{p['resolution']} px, {p['dtype']}"]
    if "generation" in seen:
        drawn = sum(seen["generation"]["images"].values()), sum(held["generation"]["images"].values())
        said += [
            p["sampling_text"],
            f"{p['images_per_prompt']} images a prompt with seeds {p['image_seeds']}, "
            f"{drawn[0]} images in distribution and {drawn[1]} held out",
            f"GenEval's rules over the {p['detector']} (held out: only the tags that can show a held-out composition)",
            f"Fréchet distance against {p['reference_images']} rendered scenes",
        ]
    if "answers" in seen:
        said.append(f"greedy answers, exact match, {seen['answers']['questions']} questions")
    return [f"Protocol: {'; '.join(said)}."]


def number(value: float | None) -> str:
    """A cell of the table."""
    return "–" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
