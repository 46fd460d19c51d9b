"""The report that ends a run: its scores, a view of the task's result, on a page with pictures and loss curves."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from eval.candidate import Candidate
from eval.pages.curves import plot_losses
from eval.result import Result, codec_line, problem_lines
from eval.runner import RunOptions, run_anew
from eval.store import PICTURES
from eval.worlds.benchmark import BENCHMARK_SEED, HELD_OUT, IN_DISTRIBUTION, SPLITS
from eval.worlds.judge import describe_detector
from eval.worlds.task import DIVERSITY, HEADLINES, SUFFIXES, WorldOptions, WorldTask, flat
from janusflow.checkpoints.pretrained import Bundle
from janusflow.pictures import grid, read_image
from janusflow.training.config import ReportConfig
from janusflow.worlds.scenes import World

RESULTS = "scores"  # folder in a run folder: the result that its scores are a view of
GRID_PROMPTS_PER_TAG = 2


def report_run(
    folder: Path, bundle: Bundle | None, world: World, config: ReportConfig, minutes: float | None
) -> tuple[Path, str]:
    """Score the model of a run folder (None: there is nothing to score) and write its page; also a line of scores."""
    scores = score_run(folder, bundle, world, config) if bundle is not None else {}
    page = write_report(folder, scores, minutes)
    seen = scores.get(IN_DISTRIBUTION, {})
    names = {"generation": "GenEval rules", "answers": "answers"}
    return page, "   ".join(f"{name}: {seen[key]['overall']:.3f}" for key, name in names.items() if key in seen)


def score_run(folder: Path, bundle: Bundle, world: World, config: ReportConfig) -> dict[str, Any]:
    """Score the model of a run folder: the content of ``scores.json``, and ``samples.png`` where pictures are drawn.

    What is drawn and answered is kept in the folder: an interrupted call goes on, for the same model and settings.
    """
    start, place = time.time(), folder / RESULTS
    task = world_task(world, config, config.tasks, side=bundle.model.config.vision.image_size)
    sampling = bundle.model.config.head.sampling(bundle.sampling, config.sampling)
    candidate = Candidate(bundle, sampling, config.batch_size)
    result = run_anew(task, RunOptions(place, config.batch_size, workers=0), lambda: candidate)
    for line in problem_lines(result):
        print(line, file=sys.stderr)
    if "generation" in config.tasks:
        draw_samples(result, place / PICTURES, config).save(folder / "samples.png")
    model = result["provenance"]["model"]
    protocol = {
        **{name: value for name, value in dataclasses.asdict(config).items() if name != "sampling"},
        "sampling": sampling.stated(),
        "sampling_text": sampling.describe(),
        "checkpoint": model["checkpoint"],
        "benchmark_seed": BENCHMARK_SEED,
        "image_seeds": f"0..{config.images_per_prompt - 1}",
        "resolution": model["resolution"],
        "dtype": model["dtype"],
        "world": str(world),
        "detector": describe_detector(world.cast),
        "codec": codec_line(result),
        "torch": torch.__version__,
        "seconds": round(time.time() - start, 1),
    }
    return {**result["details"], "protocol": protocol}


def world_task(world: World, counts: Any, tasks: Sequence[str], **others: Any) -> WorldTask:
    """The task with the counts of a configuration; only what is among ``tasks``, generation and understanding."""
    options = WorldOptions(
        cast=world.cast,
        level=world.level,
        prompts_per_tag=counts.prompts_per_tag if "generation" in tasks else 0,
        images_per_prompt=counts.images_per_prompt,
        questions_per_kind=counts.questions_per_kind if "understanding" in tasks else 0,
        reference_images=counts.reference_images,
        size=getattr(counts, "size", None),
    )
    return WorldTask(options, **others)


def write_report(folder: Path, scores: dict[str, Any], minutes: float | None) -> Path:
    """Write ``report.md`` and ``scores.json`` into a run folder; returns the page's path."""
    (folder / "scores.json").write_text(json.dumps(scores, indent=2) + "\n")
    lines = [f"# {folder.name}", ""]
    if minutes is not None:
        lines += [f"Trained in {minutes:.1f} minutes.", ""]
    if scores and "generation" in scores[IN_DISTRIBUTION]:
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


def draw_samples(result: Result, pictures: Path, config: ReportConfig) -> Image.Image:
    """The first prompts of every tag, a row each."""
    shown = shown_prompts(result, config.prompts_per_tag, GRID_PROMPTS_PER_TAG)
    images = [read_image(pictures / path) for _, paths in shown for path in paths]
    return grid(images, config.images_per_prompt, [prompt for prompt, _ in shown])


def shown_prompts(result: Result, per_tag: int, shown: int) -> list[tuple[str, list[str]]]:
    """The first prompts of every tag in distribution, each with its pictures' files."""
    found: dict[int, tuple[str, list[str]]] = {}
    for item in result["items"]:
        split, number, _ = item["id"].split("/")
        if split == IN_DISTRIBUTION and "prompt" in item and int(number) % per_tag < shown:
            found.setdefault(int(number), (item["prompt"], []))[1].append(item["path"])
    return list(found.values())


def score_table(scores: dict[str, Any]) -> list[str]:
    """The scores as Markdown, a split a column."""
    splits = {name: flat(scores[name]) for name in SPLITS if name in scores}
    titles = (SUFFIXES[name].strip(" ()") or "in distribution" for name in splits)
    lines = [f"| score | {' | '.join(titles)} |", "|---|" + "---:|" * len(splits)]
    for name in splits[IN_DISTRIBUTION]:
        bold = "**" if name in (*HEADLINES, DIVERSITY) else ""
        lines.append(f"| {bold}{name}{bold} | {' | '.join(number(found.get(name)) for found in splits.values())} |")
    return [*lines, "", *protocol_lines(scores)]


def comparison_table(runs: dict[str, dict[str, Any]]) -> list[str]:
    """The main scores of several runs as Markdown, a run a line: in distribution, and held out after the stroke."""
    columns: dict[str, Callable[[dict[str, Any]], float | None]] = {
        "GenEval rules": lambda split: split.get("generation", {}).get("overall"),
        "diversity": lambda split: split.get("diversity", {}).get("overall"),
        "recall": lambda split: split.get("recall"),
        "Fréchet distance, SigLIP (not FID)": lambda split: split.get("frechet_siglip"),
        "image-text similarity": lambda split: split.get("similarity"),
        "answers": lambda split: split.get("answers", {}).get("overall"),
    }
    lines = [f"| run | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for name, scores in runs.items():
        seen, held = scores[IN_DISTRIBUTION], scores[HELD_OUT]
        cells = [f"{number(read(seen))} / {number(read(held))}" for read in columns.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def protocol_lines(scores: dict[str, Any]) -> list[str]:
    """What the numbers mean."""
    p, seen = scores["protocol"], scores[IN_DISTRIBUTION]
    said = [f"checkpoint `{p['checkpoint']}`", f"the world {p['world']}", f"{p['resolution']} px, {p['dtype']}"]
    if "generation" in seen:
        said += [f"pictures of {p['size']} pixels, height x width"] if p.get("size") else []
        drawn = [f"{sum(scores[name]['generation']['images'].values())} {name.replace('_', ' ')}" for name in SPLITS]
        said += [
            p["sampling_text"],
            f"{p['images_per_prompt']} images a prompt with seeds {p['image_seeds']}, {', '.join(drawn)}",
            f"GenEval's rules over the {p['detector']}; held out are compositions that training never shows (only tags "
            "that can show one), reworded are constructions of sentences that it never shows",
            "diversity: how much the pictures of a prompt differ in what it leaves open, over that of rendered scenes",
            f"distances and recall against {p['reference_images']} rendered scenes",
        ]
    if "answers" in seen:
        said.append(f"greedy answers, exact match, {seen['answers']['questions']} questions")
    codec = p.get("codec")
    return [f"Protocol: {'; '.join(said)}.", *(["", codec] if codec else [])]


def number(value: float | None) -> str:
    """A cell of the table."""
    return "–" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
