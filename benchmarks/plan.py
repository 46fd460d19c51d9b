"""What ``train.py --plan`` says of memory against what short runs take, on this machine's CPU.

    python -m benchmarks.plan --out benchmarks/results/plan_cpu.json

Each run is a process of its own. Measured is the most that it held until its last step was done (``memory_gib`` of its
table, from ``ru_maxrss``) beyond what it held after a run of the least sizes, which had set up all that any
run does. Writing states and models, which is done on the CPU, comes after. Weights are random: only sizes count.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from janusflow.command_line import Parser
from janusflow.config import load_config

SHORT = (
    *("parts.llm=null", "parts.vision=null", "preview.prompts=[]", "report.tasks=[]", "data.workers=0"),
    *("data.held_out=0", "trainer.precision=32-true", "trainer.save_every=1000", "trainer.log_every=1"),
)
MEDIUM = "model.llm={hidden_size: 512, intermediate_size: 1376, num_layers: 8, num_heads: 8, num_kv_heads: 8}"
LEAST = (
    "model.llm={hidden_size: 32, intermediate_size: 64, num_layers: 2, num_heads: 2, num_kv_heads: 2}",
    *("stages.stage2.batch_size=4", "trainer.accumulate=1", "name=least"),
)
ONE = "stages={stage2: {steps: 3, batch_size: %d, warmup_steps: 0, ratios: [{understanding: 1, generation: 1}]}}"
CASES = {
    "small, Muon": ("configs/shapes.yaml", [ONE % 48]),
    "medium, AdamW, checkpointed, two micro-batches": (
        "configs/shapes.yaml",
        [ONE % 32, MEDIUM, "optim.algorithm=adamw", "trainer.checkpoint_activations=true", "trainer.accumulate=2"],
    ),
    "medium, codes, no average": ("configs/shapes_ar.yaml", [ONE % 16, MEDIUM, "optim.ema_decay=null"]),
    "medium, adapter over 16-bit weights": (
        "configs/shapes.yaml",
        [
            *(ONE % 16, MEDIUM, "adapter.rank=8", "adapter.base_bits=16"),
            *("stages.stage2.train=[llm]", "parts.checkpoint=BASE"),
        ],
    ),
}


def main() -> int:
    """Run, print and store the table."""
    parser = Parser(description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file for the numbers")
    parser.add_argument("--override", action="append", default=[], help="key=value for all runs, such as parts.vae=…")
    parser.add_argument("--run", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run:
        return measure_here(args.run)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (path, changes) in CASES.items():
            given = [*SHORT, *(change.replace("BASE", f"{folder}/base") for change in changes)]
            given.append(f"out={folder}/{len(found)}")
            found[name] = compare(path, [*given, *args.override])
            print(f"{name:<50}" + "  ".join(f"{key} {value}" for key, value in found[name].items()), flush=True)
    if args.out:
        args.out.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    return 0


def compare(path: str, overrides: list[str]) -> dict[str, float]:
    """MB that the plan says and that a run takes, and their ratio."""
    from janusflow.checkpoints.pretrained import save_pretrained
    from janusflow.training.build import build_bundle
    from janusflow.training.config import RunConfig
    from janusflow.training.forecast import Forecast

    base = next((item.partition("=")[2] for item in overrides if item.startswith("parts.checkpoint=")), None)
    if base is not None:
        plain = [item for item in overrides if not item.startswith(("parts.checkpoint=", "adapter."))]
        save_pretrained(build_bundle(load_config(RunConfig, path, plain)), base)
    said = Forecast(lambda changes: load_config(RunConfig, path, [*overrides, *changes])).at_peak()
    command = [sys.executable, "-m", "benchmarks.plan", "--run", path, *overrides]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed goes back, and is not counted
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    taken = json.loads(output.splitlines()[-1])
    return {"plan_mb": round(said / 1e6), "measured_mb": round(taken / 1e6), "ratio": round(said / taken, 3)}


def measure_here(arguments: list[str]) -> int:
    """Do a run in this process; print the bytes that it took."""
    from janusflow.training.config import RunConfig
    from janusflow.training.run import Run

    config = load_config(RunConfig, arguments[0], arguments[1:])
    plain = [item for item in arguments[1:] if not item.startswith(("parts.checkpoint=", "adapter."))]
    Run.create(load_config(RunConfig, arguments[0], [*plain, *LEAST])).train()
    if config.adapter.rank:
        import peft  # noqa: F401  (before counting)
    gc.collect()
    before = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    Run.create(config).train()
    with (Path(config.out) / config.name / "metrics.csv").open(newline="") as file:
        held = [float(row["value"]) for row in csv.DictReader(file) if row["metric"] == "memory_gib"]
    print(round(max(held) * 2**30) - before)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
