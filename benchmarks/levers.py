"""What helps a short run: variants of a configuration trained for equal wall time, judged by their held-out losses.

``python benchmarks/levers.py configs/shapes.yaml --minutes 4 --lever "few turns: data.sources.world.turns=1"`` first
times a few steps of every variant, then gives each as many steps of its main stage as fit into the minutes, and reads
the losses of the same held-out samples, times and noises at the end. The first variant is the configuration as it is.
Levers that change what a sample's loss means, such as another weighting, are to be judged by drawings instead:
``--draw`` scores the run's model, too.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from timing import store

TIMED = 14  # steps of a variant that are timed; the first ones warm up
WARM = 4
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


def measure(args: argparse.Namespace, name: str, overrides: list[str], folder: Path) -> dict[str, Any]:
    """Train one variant for the time that is given."""
    safe = "".join(letter if letter.isalnum() else "_" for letter in name)
    stage, everything = args.stage, [*overrides, *args.set]
    short = [f"stages={{{stage}: {{steps: {TIMED}, warmup_steps: 0}}}}", *SILENT]
    timed = train(args.config, [*everything, *short], folder, f"{safe}-timed")
    seconds = statistics.median(values(timed, stage)["seconds_per_step"][WARM:])
    steps = max(int(60 * args.minutes / seconds), 2 * TIMED)
    silent = SILENT if not args.draw else SILENT[1:]
    run = train(args.config, [*everything, f"stages={{{stage}: {{steps: {steps}}}}}", *silent], folder, safe)
    metrics = values(run, stage)
    losses = {key.rpartition("/")[2]: found[-1] for key, found in metrics.items() if key.startswith("validation/")}
    figures = {
        "overrides": everything,
        "seconds a step": round(seconds, 3),
        "steps": steps,
        "generated images": round(sum(metrics["generated_images_per_second"]) * seconds),
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
    variants = {"as configured": ""} | dict(one.partition(": ")[::2] for one in args.lever)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name, overrides in variants.items():
            found[name] = measure(args, name, overrides.split(), folder)
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
