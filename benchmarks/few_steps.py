"""Students of a flow, in 1, 2 and 4 steps without guidance, against their teacher at its best setting.

``python benchmarks/few_steps.py runs/shapes`` chooses the teacher's guidance on development prompts, distils it by
reflow and by MeanFlow, and scores all of them on the world's prompts; several teachers are several training seeds. It
prints each score's mean and, for the students, its share of the teacher's. What is finished is not done again; an
interrupted run goes on.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from runs import SCORES, SPLITS, add_protocol, best_guidance, call, protocol, score, train
from timing import store

STEPS = (1, 2, 4)


def main() -> None:
    """Choose, distil, score, print and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("teachers", type=Path, nargs="+", help="run folders of flows")
    parser.add_argument("--methods", nargs="+", choices=["reflow", "meanflow"], default=["meanflow", "reflow"])
    parser.add_argument("--pairs", type=int, default=8000, help="pictures of a teacher for reflow")
    add_protocol(parser, questions=200)
    parser.add_argument("--runs", type=Path, default=Path("runs/few_steps"), help="folder of all that is made")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {}
    weights = {}
    for number, teacher in enumerate(args.teachers):
        folder = args.runs / teacher.name
        weights[teacher.name] = weight = best_guidance(folder / "development", teacher, args.level)
        best = score(folder / "teacher", teacher, *protocol(args), "--guidance", weight, "--steps", 30)
        found.setdefault("teacher", []).append(best)
        for method in args.methods:
            student = folder / method
            distil(method, teacher, student, weight, number, args)
            for steps in STEPS:
                own = score(folder / f"{method}-{steps}", student, *protocol(args), "--steps", steps)
                found.setdefault(f"{method}, {steps}", []).append(own)
    for name in (one + split for split in SPLITS for one in SCORES):
        means = {who: statistics.mean(one[name] for one in several) for who, several in found.items()}
        shares = "   ".join(f"{who} {mean:.3f} ({mean / means['teacher']:.2f})" for who, mean in means.items())
        print(f"{name}\n    {shares}")
    store({"guidance": weights, "level": args.level, "scores": found}, args.out)


def distil(method: str, teacher: Path, student: Path, weight: str, seed: int, args: argparse.Namespace) -> None:
    """Train a student of ``teacher`` by ``configs/shapes_METHOD.yaml``."""
    settings = [f"parts.checkpoint={teacher / 'model'}", f"seed={seed}", f"data.sources.world.level={args.level}"]
    if method == "reflow":
        pairs = student.with_name("pairs")
        asked = ["--level", args.level, "--count", args.pairs, "--guidance", weight, "--out", pairs]
        call("-m janusflow.cli pairs --cast shapes --batch-size 32", "--model", teacher, *asked)
        settings.append(f"data.sources.pairs.path={pairs}")
    else:
        settings.append(f"model.losses.meanflow.guidance={weight}")
    train(student, f"configs/shapes_{method}.yaml", settings)


if __name__ == "__main__":
    main()
