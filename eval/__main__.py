"""``python -m eval``: score a model. Every result states its protocol."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from eval.compare.command import add_parser as add_compare
from janusflow.training.config import ReportConfig

REPORT_FLAGS = {
    "prompts_per_tag": "prompts of each of GenEval's tags",
    "images_per_prompt": "pictures of each prompt, seeds 0, 1, …",
    "questions_per_kind": "questions of each kind",
    "reference_images": "rendered scenes behind the Fréchet distance",
    "guidance": "classifier-free guidance weight",
    "steps": "solver steps (flow)",
    "sampler": "euler, heun or midpoint (flow)",
    "temperature": "of the codes' draws; 0 is greedy (autoregressive)",
    "top_k": "draw from that many likeliest codes (autoregressive; default: all)",
    "top_p": "draw from the fewest codes of this probability (autoregressive)",
    "batch_size": "pictures computed together",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, or 2 for bad input (one line on stderr), 130 when interrupted."""
    args = build_parser().parse_args(argv)
    try:
        return args.run(args)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m eval", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="score a model on a task",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    run.set_defaults(run=run_task)
    run.add_argument("task", choices=("shapes",), help="shapes: GenEval's rules, answers and distances in that world")
    run.add_argument("--model", help="model folder or run folder; without it, the shipped shapes-world model")
    run.add_argument("--out", type=Path, default=Path("results/shapes"), help="folder for scores.json and report.md")
    run.add_argument("--device", default="cpu", help="cpu, cuda …")
    for name, what in REPORT_FLAGS.items():
        default = getattr(ReportConfig, name)
        run.add_argument(
            "--" + name.replace("_", "-"), type=int if default is None else type(default), default=default, help=what
        )

    add_compare(commands)
    return parser


def run_task(args: argparse.Namespace) -> int:
    """Score, and write ``scores.json`` and ``report.md``."""
    from eval.shapes.report import score_table, write_report
    from eval.shapes.score import score_model
    from janusflow.checkpoint import SHIPPED, load_pretrained

    config = ReportConfig(**{name: getattr(args, name) for name in REPORT_FLAGS})
    bundle = load_pretrained(args.model or SHIPPED, device=args.device)
    args.out.mkdir(parents=True, exist_ok=True)
    scores, images = score_model(bundle, config)
    page = write_report(args.out, scores, images, minutes=None)
    print("\n".join(score_table(scores)))
    print(page)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
