"""The ladder: seconds of training on two cores until a model draws 0.90 of the world's prompts right.

``python benchmarks/speedrun.py --change "what is new"`` trains ``configs/shapes.yaml`` (or another configuration, with
overrides), scores it with the ladder's protocol, and prints the seconds of its steps beside the scores in distribution
and held out. ``--record`` adds the line to ``benchmarks/results/speedrun.json``, where the records stand.

To enter: any change of the code or the configuration counts, as long as the world's level, its pictures' size and the
protocol stay, pretrained parts come from ``python -m janusflow.parts``, and held-out compositions stay unseen. The best
line is the fastest of those that reach 0.90; where none does, the highest. A run that was killed goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
from pathlib import Path
from typing import Any

import torch
from runs import call, read, train
from timing import store

from eval.candidate import machine

BAR = 0.90
RECORDS = Path(__file__).parent / "results" / "speedrun.json"
PROTOCOL = ["--level", "fixed", "--prompts-per-tag", "34", "--images-per-prompt", "2", "--questions-per-kind", "100"]
HEADLINES = {"generation": "GenEval rules: mean of the tags", "answers": "answers: all"}


def seconds_of(folder: Path) -> float:
    """The seconds of all steps of a run; its start, its previews and its scores are not counted."""
    with (folder / "metrics.csv").open(newline="") as file:
        return sum(float(line["value"]) for line in csv.DictReader(file) if line["metric"] == "seconds_per_step")


def score(folder: Path) -> dict[str, float]:
    """The headlines, in distribution and held out."""
    out = folder / "ladder"
    call("-m eval run world", "--model", folder, *PROTOCOL, "--out", out)
    scores = read(out / "result.json")["scores"]
    named = {name: scores[title] for name, title in HEADLINES.items()}
    return named | {f"{name}, held out": scores[f"{title} (held out)"] for name, title in HEADLINES.items()}


def commit() -> str:
    """The code's commit, marked where it is changed."""
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main() -> None:
    """Train, score, print, and record if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="configs/shapes.yaml", help="run configuration")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes of it")
    parser.add_argument("--change", required=True, help="what is new, in a line")
    parser.add_argument("--run", type=Path, default=Path("runs/speedrun"), help="the run's folder; taken up again")
    parser.add_argument("--record", action="store_true", help=f"add the line to {RECORDS.name}")
    args = parser.parse_args()
    train(args.run, args.config, [*args.overrides, "report.tasks=[]", "trainer.log_every=1"])
    scores = score(args.run)
    seconds = round(seconds_of(args.run))
    line: dict[str, Any] = {
        "change": args.change,
        "seconds": seconds,
        "reached": scores["generation"] >= BAR,
        **{name: round(value, 4) for name, value in scores.items()},
        "commit": commit(),
        "config": " ".join([args.config, *args.overrides]),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": machine(torch.device("cpu")),
    }
    print(json.dumps(line, indent=2))
    told = f"{BAR} reached" if line["reached"] else f"{scores['generation']:.3f}, not {BAR}"
    print(f"{seconds} seconds: {told}; held out {scores['generation, held out']:.3f}")
    if args.record:
        records = read(RECORDS)["records"] if RECORDS.exists() else []
        newest = {name: line[name] for name in ("threads", "torch", "machine")}
        store({"bar": BAR, "scoring": " ".join(PROTOCOL), **newest, "records": [*records, line]}, RECORDS)


if __name__ == "__main__":
    main()
