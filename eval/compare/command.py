"""The command line of ``python -m eval compare``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from eval.compare.config import CompareConfig

OUT = Path("results/compare")
RECORDED_OUT = Path("results/recorded")
EPILOG = """\
examples:
  python -m eval compare flow=runs/flow ar=runs/ar
  python -m eval compare flow=runs/flow_0,runs/flow_1 ar=runs/ar_0,runs/ar_1    two training seeds each
  python -m eval compare runs/a runs/b --no-sweep --prompts-per-tag 34          more prompts, one setting
  python -m eval compare runs/* --recorded                                      the scores that the runs recorded
"""
FLAGS = {
    "tasks": "what is scored: generation, understanding",
    "prompts_per_tag": "prompts of each of GenEval's tags",
    "images_per_prompt": "pictures of each prompt, seeds 0, 1, …",
    "questions_per_kind": "questions of each kind",
    "reference_images": "rendered scenes behind the Fréchet distance",
    "batch_size": "pictures computed together",
    "flow_steps": "main table, flow: solver steps",
    "flow_sampler": "main table and sweep, flow: euler, heun or midpoint",
    "flow_guidance": "main table, flow: classifier-free guidance weight",
    "ar_temperature": "main table, autoregressive: temperature, 0 is greedy",
    "ar_guidance": "main table, autoregressive: classifier-free guidance weight",
    "ar_top_k": "main table, autoregressive: draw from that many likeliest codes only (default: from all)",
    "ar_top_p": "main table, autoregressive: draw from the fewest codes of this probability",
    "steps": "sweep, flow: numbers of solver steps",
    "guidance": "sweep, both heads: guidance weights",
    "temperatures": "sweep, autoregressive: temperatures",
    "sweep_prompts_per_tag": "sweep: prompts of each tag, in distribution",
    "sweep_images_per_prompt": "sweep: pictures of each prompt",
    "repeats": "draws behind a median time",
    "bootstrap": "resamples behind an interval",
}


def add_parser(commands: Any) -> None:
    """Add ``compare`` to the subcommands of a command line."""
    parser = commands.add_parser(
        "compare",
        help="the controlled comparison of models: scores with intervals, cost, quality against compute",
        description="Compare models on the same prompts and seeds. A comparison that was interrupted goes on.",
        epilog=EPILOG,
    )
    parser.set_defaults(run=run_compare)
    parser.add_argument(
        "models",
        nargs="+",
        metavar="[NAME=]PATH[,PATH…]",
        help="model folders, run folders or hub ids; several paths under one name are training seeds of one model",
    )
    parser.add_argument(
        "--out", type=Path, help=f"folder of the comparison (default: {OUT}; {RECORDED_OUT} with --recorded)"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps …")
    parser.add_argument("--no-sweep", action="store_true", help="leave out the sweep over settings")
    parser.add_argument("--recorded", action="store_true", help="only show what run folders recorded; draw nothing")
    for name, what in FLAGS.items():
        default = getattr(CompareConfig, name)
        several = isinstance(default, tuple)
        kind = int if default is None else type(default[0]) if several else type(default)
        values = {"nargs": "+"} if several else {}
        parser.add_argument("--" + name.replace("_", "-"), type=kind, default=default, help=what, **values)


def run_compare(args: argparse.Namespace) -> int:
    """Compare, and print the scores' table and where the report is."""
    from eval.compare.contestants import parse_contestants
    from eval.compare.recorded import write_recorded
    from eval.compare.report import score_tables
    from eval.compare.run import compare
    from eval.pages.page import markdown_table
    from janusflow.cli import find_device
    from janusflow.weights import read_json_object

    contestants = parse_contestants(args.models)
    if args.recorded:
        lines, pictures = write_recorded(contestants, args.out or RECORDED_OUT)
        print("\n".join([*lines, *map(str, pictures)]))
        return 0
    out = args.out or OUT
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in vars(args).items() if name in FLAGS
    }
    config = CompareConfig(**given, sweep=not args.no_sweep)
    page = compare(contestants, config, out, str(find_device(args.device)))
    comparison = read_json_object(out / "comparison.json")
    for title, table in score_tables(comparison):
        print(f"\n{title}\n\n" + "\n".join(markdown_table(table)))
    print(f"\n{page}")
    return 0
