"""What learning from verdicts changes in the shapes world, for both heads: models before and after, by seed.

``python benchmarks/verdicts.py --flow runs/shapes --codes runs/shapes_ar`` trains each method from its model with every
seed, and scores all, each at the guidance that does best on development prompts. It prints each score's mean before and
after, and the least and the largest change. What is finished is not done again; an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from runs import SCORES, SPLITS, add_protocol, best_guidance, protocol, score, train
from timing import store

METHODS = {"nft": "flow", "flow_grpo": "flow", "grpo": "codes"}  # -> the head that they are for


def main() -> None:
    """Train, score, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flow", type=Path, help="run folder of a flow to begin with")
    parser.add_argument("--codes", type=Path, help="run folder of its autoregressive twin")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    add_protocol(parser, questions=100)
    parser.add_argument("--runs", type=Path, default=Path("runs/verdicts"), help="folder of all that is made")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    models = {"flow": args.flow, "codes": args.codes}
    found: dict[str, list[dict[str, float]]] = {}
    for head, model in models.items():
        if model is not None:
            found[head] = [at_its_best(model, args.runs / head, args)]
            for method in (one for one in args.methods if METHODS[one] == head):
                for seed in args.seeds:
                    run = args.runs / f"{method}-seed{seed}"
                    train(run, f"configs/shapes_{method}.yaml", [f"parts.checkpoint={model / 'model'}", f"seed={seed}"])
                    scores = at_its_best(run, args.runs / f"{run.name}-scores", args)
                    found.setdefault(method, []).append(scores)
                say(method, found[head][0], found[method])
    store({"level": args.level, "scores": found}, args.out)


def at_its_best(model: Path, folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """A model's scores with the guidance that suits it."""
    weight = best_guidance(folder / "development", model, args.level)
    return {"guidance": float(weight), **score(folder / "reported", model, *protocol(args), "--guidance", weight)}


def say(method: str, before: dict[str, float], after: list[dict[str, float]]) -> None:
    """Print what a method changed."""
    print(f"{method}, {len(after)} seeds")
    for name in (one + split for split in SPLITS for one in SCORES):
        values = [one[name] for one in after]
        gains = [value - before[name] for value in values]
        spread = f"{min(gains):+.3f} to {max(gains):+.3f}"
        print(f"    {name:<56} {before[name]:.3f} -> {statistics.mean(values):.3f} ({spread})")


if __name__ == "__main__":
    main()
