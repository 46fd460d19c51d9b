"""What helps a short run: variants of a configuration trained for equal wall time, judged by their held-out losses.

``python benchmarks/levers.py configs/shapes.yaml --minutes 4 --lever "few turns: data.sources.world.turns=1"`` first
lets step.py time a step of every variant, in turns, then gives each as many steps of the stage as fit into the minutes,
and reads the losses of the same held-out samples, times and noises at the end. The first variant is the configuration
as it is.
Levers that change what a sample's loss means, such as another weighting, are to be judged by drawings instead:
``--draw`` scores the run's model, too.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import shlex
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from timing import store

SILENT = ["report.tasks=[]", "trainer.log_every=1", "preview={every: 0, prompts: [], examples: 0}"]


def train(config: str, overrides: list[str], out: Path, name: str) -> Path:
    """A run in a process of its own; its folder. Raises ``CalledProcessError`` where it fails."""
    command = [sys.executable, "train.py", config, *overrides, f"out={out}", f"name={name}"]
    with (out / f"{name}.log").open("w") as log:
        subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
    return out / name


def values(run: Path, stage: str) -> dict[str, list[float]]:
    """All values of every metric of a stage, in order."""
    found: dict[str, list[float]] = defaultdict(list)
    with (run / "metrics.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            if line["stage"] == stage:
                found[line["metric"]].append(float(line["value"]))
    return found


def seconds_per_step(args: argparse.Namespace, variants: dict[str, list[str]], folder: Path) -> dict[str, float]:
    """Of each variant, in turns in one process, so that other work on the machine falls on all."""
    asked = [f"{name}: {shlex.join(overrides)}" for name, overrides in variants.items()]
    named = [word for variant in asked for word in ("--variant", variant)]
    file = folder / "steps.json"
    command = [sys.executable, Path(__file__).with_name("step.py"), args.config, "--stage", args.stage]
    subprocess.run([*command, *named, "--out", file], check=True)
    found = json.loads(file.read_text())["variants"]
    return {name: found[name]["seconds a step"] for name in variants}


def measure(args: argparse.Namespace, name: str, overrides: list[str], seconds: float, folder: Path) -> dict[str, Any]:
    """Train one variant for the time that is given; ``seconds``: of a step."""
    safe = "".join(letter if letter.isalnum() else "_" for letter in name)
    stage, steps = args.stage, int(60 * args.minutes / seconds)
    silent = SILENT if not args.draw else SILENT[1:]
    run = train(args.config, [*overrides, f"stages={{{stage}: {{steps: {steps}}}}}", *silent], folder, safe)
    metrics = values(run, stage)
    losses = {key.rpartition("/")[2]: found[-1] for key, found in metrics.items() if key.startswith("validation/")}
    rates = zip(metrics["generated_images_per_second"], metrics["seconds_per_step"], strict=True)
    figures = {
        "overrides": overrides,
        "seconds a step": round(seconds, 3),
        "steps": steps,
        "generated images": round(sum(rate * time for rate, time in rates)),
        "losses": losses,
    }
    if args.draw:
        scores = json.loads((run / "scores.json").read_text())["in_distribution"]
        figures["GenEval rules"] = scores["generation"]["overall"]
        figures["answers"] = scores["answers"]["overall"]
    return figures


def main() -> None:
    """Train all variants, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="configs/shapes.yaml", help="run configuration")
    parser.add_argument("--lever", action="append", default=[], help='"NAME: key=value key=value", more than once')
    parser.add_argument("--set", nargs="*", default=[], help="overrides of all variants")
    parser.add_argument("--stage", default="stage2", help="the only stage that is trained")
    parser.add_argument("--minutes", type=float, default=4.0, help="wall time of each variant's training")
    parser.add_argument("--draw", action="store_true", help="score the models, too")
    parser.add_argument("--work", type=Path, help="folder of the runs (default: one that goes)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    args = parser.parse_args()
    asked = {"as configured": ""} | dict(one.partition(": ")[::2] for one in args.lever)
    variants = {name: [*args.set, *shlex.split(overrides)] for name, overrides in asked.items()}
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        seconds = seconds_per_step(args, variants, folder)
        for name, overrides in variants.items():
            found[name] = measure(args, name, overrides, seconds[name], folder)
            print(name, json.dumps(found[name]), flush=True)
            store(
                {
                    "config": args.config,
                    "minutes": args.minutes,
                    "variants": found,
                    "threads": torch.get_num_threads(),
                    "machine": platform.machine(),
                    "torch": torch.__version__,
                },
                args.out,
            )


if __name__ == "__main__":
    main()
