"""Runs a comparison: measures model after model, then writes the report; or shows what run folders recorded."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.candidate import machine
from eval.compare.config import CompareConfig
from eval.compare.contestants import Contestant, check_comparable, claim_folder
from eval.compare.measure import Measured, measure_model
from eval.compare.plots import DPI, draw_side_by_side, plot_sweep
from eval.compare.report import build_sections
from eval.compare.summary import COSTS, QUALITIES, mark_fronts, point_summary, summarize_split
from eval.pages.curves import plot_losses
from eval.pages.page import write_page
from eval.store import write_json
from eval.worlds.benchmark import BENCHMARK_SEED, HELD_OUT, IN_DISTRIBUTION, SPLITS
from eval.worlds.report import comparison_table
from janusflow.checkpoints.pretrained import load_pretrained
from janusflow.pictures import read_image
from janusflow.weights import read_json_object

PAGE = "recorded.md"
OWN = {PAGE, "losses.png"}  # what may be written over
Found = Mapping[str, Sequence[Measured]]  # model -> training seeds


def compare(contestants: Sequence[Contestant], config: CompareConfig, folder: Path, device: str = "cpu") -> Path:
    """Measure what ``folder`` does not hold yet, and write ``report.md``, ``report.html`` and ``comparison.json``.

    Returns the report's path. Raises ``ValueError`` for models that cannot be compared, and for a folder that holds
    anything else.
    """
    check_comparable(contestants, config)
    claim_folder(folder, contestants)
    found: dict[str, list[Measured]] = {}
    for name, paths in contestants:
        found[name] = []
        for seed, path in enumerate(paths):
            bundle = load_pretrained(path, device=device)
            label = name if len(paths) == 1 else f"{name}, training seed {seed + 1}"
            home = folder / "points" / f"{name}-{seed}"
            found[name].append(measure_model(bundle, config, home, label, with_cost=seed == 0))
            del bundle
            gc.collect()  # before the next one is loaded
    comparison = summarize(found, config, device)
    write_json(folder / "comparison.json", comparison)
    pictures = draw_pictures(folder, comparison, found, config) | draw_losses(folder, contestants)
    return write_page(folder, build_sections(comparison, pictures))


def summarize(found: Found, config: CompareConfig, device: str) -> dict[str, Any]:
    """The content of ``comparison.json``."""
    sweep = {}
    for name, seeds in found.items():
        settings = zip(*(one.sweep for one in seeds), strict=True)
        points = [
            point_summary(of_seeds[0][0], [point for _, point in of_seeds], config.bootstrap) for of_seeds in settings
        ]
        mark_fronts(points)
        sweep[name] = points
    return {
        "protocol": {
            **dataclasses.asdict(config),
            "benchmark_seed": BENCHMARK_SEED,
            "image_seeds": f"0..{config.images_per_prompt - 1}",
            "device": device,
            "machine": machine(device),
            **{name: found_in_all(found, name) for name in ("resolution", "dtype", "libraries")},
        },
        "models": {name: describe_model(seeds) for name, seeds in found.items()},
        "scores": {
            split: summarize_split(
                {name: [one.scores[split] for one in seeds] for name, seeds in found.items()}, config.bootstrap
            )
            for split in SPLITS
        },
        "cost": {name: seeds[0].cost for name, seeds in found.items() if seeds[0].cost},
        "sweep": sweep,
    }


def describe_model(seeds: Sequence[Measured]) -> dict[str, Any]:
    """A model's own part of the protocol."""
    facts = seeds[0].facts
    return {
        **{name: facts[name] for name in ("head", "parameters", "sampling", "chat", "preprocessing")},
        "checkpoints": [one.facts["checkpoint"] for one in seeds],
        "codecs": [one.facts["codec"] for one in seeds],
        "codecs_alone": [one.facts["codec_alone"] for one in seeds],
    }


def found_in_all(found: Found, name: str) -> Any:
    """A fact that all models share; where they do not, each one's."""
    facts = {model: seeds[0].facts[name] for model, seeds in found.items()}
    first = next(iter(facts.values()))
    return first if all(fact == first for fact in facts.values()) else facts


def draw_pictures(folder: Path, comparison: dict[str, Any], found: Found, config: CompareConfig) -> dict[str, Path]:
    """Write the side-by-side grid and the sweep's plots: name -> file."""
    pictures: dict[str, Path] = {}
    if config.generates:
        pictures["samples"] = folder / "samples.png"
        shown = {
            name: [[read_image(path) for path in paths] for _, paths in seeds[0].shown] for name, seeds in found.items()
        }
        prompts = [prompt for prompt, _ in next(iter(found.values()))[0].shown]
        draw_side_by_side(shown, prompts).save(pictures["samples"])
    if any(comparison["sweep"].values()):
        for quality in QUALITIES:
            for cost in COSTS:
                path = folder / f"{quality}-{cost}.png"
                plot_sweep(comparison["sweep"], quality, cost).savefig(path, dpi=DPI)
                pictures[f"{quality}-{cost}"] = path
    return pictures


def draw_losses(folder: Path, contestants: Sequence[Contestant]) -> dict[str, Path]:
    """Plot the losses of the run folders among the models, where there are any."""
    metrics = {}
    for name, paths in contestants:
        for seed, path in enumerate(paths):
            file = Path(path) / "metrics.csv"
            if file.exists():
                metrics[name if len(paths) == 1 else f"{name}, seed {seed + 1}"] = file
    if not metrics:
        return {}
    plot_losses(metrics).savefig(folder / "losses.png", dpi=DPI)
    return {"losses": folder / "losses.png"}


def write_recorded(contestants: Sequence[Contestant], folder: Path) -> tuple[list[str], list[Path]]:
    """Write the table and the plot into ``folder``, over earlier ones; returns the table's lines and the plot's file.

    Raises ``ValueError`` for a run folder that is missing, damaged scores, and a folder that holds anything else.
    """
    scores = read_scores(contestants)
    if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - OWN):
        raise ValueError(f"{folder} holds something else than recorded scores: choose another --out")
    table = comparison_table(scores) if scores else []
    lines = ["# Recorded scores", "", "In distribution / held out.", "", *table]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "losses.png").unlink(missing_ok=True)
        pictures = list(draw_losses(folder, contestants).values())
        if pictures:
            lines += ["", "![Training losses, smoothed](losses.png)"]
        (folder / PAGE).write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot write into {folder}: {error.strerror or error}") from error
    return table, pictures


def read_scores(contestants: Sequence[Contestant]) -> dict[str, dict[str, Any]]:
    """The ``scores.json`` of the run folders that have any, by name, and by folder where a model has several."""
    scores = {}
    for name, paths in contestants:
        for path in paths:
            if not Path(path).is_dir():
                raise ValueError(f"no run folder at {path}")
            file = Path(path) / "scores.json"
            found = read_json_object(file, required=False)
            if not all(isinstance(found.get(split), dict) for split in (IN_DISTRIBUTION, HELD_OUT) if found):
                raise ValueError(f"{file} does not hold the scores of {IN_DISTRIBUTION} and {HELD_OUT}")
            if found:
                scores[name if len(paths) == 1 else f"{name}: {Path(path).name}"] = found
    return scores
