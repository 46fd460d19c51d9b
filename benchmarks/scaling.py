"""Tokens a second of whole training runs on one to n processes, DDP and FSDP2.

``python benchmarks/scaling.py --processes 1 2 4`` starts ``train.py`` with every number and strategy in turn, as often
as ``--repeats`` says, and prints medians over all logged steps after the warm-up. ``--overrides`` go to every run.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from timing import store

ROOT = Path(__file__).parents[1]
WARM_UP = 5  # logged steps


def measure(
    config: str, overrides: list[str], processes: int, strategy: str, threads: int, folder: Path
) -> list[float]:
    """The tokens a second of every logged step of one run."""
    name = f"{strategy}-{processes}-{len(list(folder.iterdir()))}"
    command = [sys.executable, "train.py", config, f"name={name}", f"out={folder}", f"trainer.devices={processes}"]
    command += [
        f"trainer.strategy={strategy}",
        "trainer.log_every=1",
        "preview.prompts=[]",
        "report.tasks=[]",
        *overrides,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    with (folder / name / "metrics.csv").open(newline="") as file:
        values = [float(row["value"]) for row in csv.DictReader(file) if row["metric"] == "tokens_per_second"]
    return values[WARM_UP:]


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and store the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/shapes.yaml")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--strategies", nargs="+", default=["ddp", "fsdp"], choices=("ddp", "fsdp"))
    parser.add_argument("--steps", type=int, default=25, help="steps of a run, one stage")
    parser.add_argument("--stage", default="stage2", help="stage of the configuration that runs")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each kind, in turns")
    parser.add_argument("--overrides", nargs="*", default=[], metavar="key=value")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    args = parser.parse_args(argv)
    kinds = [(n, s) for n in args.processes for s in (args.strategies if n > 1 else args.strategies[:1])]
    found: dict[tuple[int, str], list[float]] = {kind: [] for kind in kinds}
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as temporary:
        config = Path(temporary) / "scaling.yaml"
        base = (ROOT / args.config).resolve()
        config.write_text(f"base: {base}\nstages: {{{args.stage}: {{steps: {args.steps}}}}}\n")
        runs = Path(temporary) / "runs"
        runs.mkdir()
        for _ in range(args.repeats):
            for n, strategy in kinds:
                threads = max(1, cores // n)
                found[n, strategy] += measure(str(config), args.overrides, n, strategy, threads, runs)
    first = statistics.median(found[kinds[0]])
    rows = []
    for (n, strategy), values in found.items():
        median = statistics.median(values)
        row = {"processes": n, "strategy": strategy if n > 1 else "none", "threads_each": max(1, cores // n)}
        row |= {"tokens_per_second": round(median), "over_first": round(median / first, 2)}
        rows.append(row)
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    if args.out:
        figures = {"config": args.config, "rows": rows, "steps": args.steps, "repeats": args.repeats}
        figures |= {"cores": cores, "machine": platform.machine(), "torch": torch.__version__}
        store(figures, args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
