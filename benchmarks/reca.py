"""What reconstruction alignment (RecA, arXiv:2509.07295) changes in the shapes world: runs from the same weights.

``python benchmarks/reca.py`` trains for every seed the default run and from its last state two more of equally many
steps: ``shapes_reca.yaml``, and a control that has captions in the place of reconstruction. It prints the scores that
end each run: GenEval's rules and answers, of seen and of held-out compositions, and the mean gain over the control.
What is finished is not trained again; an interrupted run goes on. Three seeds take hours on two cores.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from runs import read, train
from timing import store

SCORES = {"rules": "generation", "answers": "answers"}
SPLITS = ("in_distribution", "held_out")
CAPTIONS = "stages.reca.ratios=[{understanding: 24, generation: 74, text: 2}]"


def main() -> None:
    """Train, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--head", choices=["flow", "ar"], default="flow", help="which head draws")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="a default run each")
    parser.add_argument("--runs", type=Path, default=Path("runs/reca"), help="folder of the runs")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes to all three runs")
    args = parser.parse_args()
    name = "shapes" if args.head == "flow" else "shapes_ar"
    found: dict[str, dict[str, list[float]]] = {}
    for seed in args.seeds:
        before = args.runs / f"{name}-seed{seed}"
        after = [f"parts.run={before}", f"seed={seed + 100}"]
        runs = {
            "before": (before, f"configs/{name}.yaml", [f"seed={seed}"]),
            "captions": (args.runs / f"{name}-captions-seed{seed}", f"configs/{name}_reca.yaml", [*after, CAPTIONS]),
            "reca": (args.runs / f"{name}-reca-seed{seed}", f"configs/{name}_reca.yaml", after),
        }
        for which, (folder, config, settings) in runs.items():
            train(folder, config, [*settings, *args.overrides])
            for score, value in read_scores(folder).items():
                found.setdefault(score, {}).setdefault(which, []).append(value)
    for score, values in found.items():
        gain = [a - b for a, b in zip(values["reca"], values["captions"], strict=True)]
        means = "   ".join(f"{which} {statistics.mean(numbers):.3f}" for which, numbers in values.items())
        print(f"{score:<26} {means}   gain {statistics.mean(gain):+.3f} ({min(gain):+.3f} to {max(gain):+.3f})")
    store({"head": args.head, "seeds": args.seeds, "overrides": args.overrides, "scores": found}, args.out)


def read_scores(folder: Path) -> dict[str, float]:
    """The scores that ended a run, by split and name."""
    scores = read(folder / "scores.json")
    return {f"{name}, {split}": scores[split][key]["overall"] for split in SPLITS for name, key in SCORES.items()}


if __name__ == "__main__":
    main()
