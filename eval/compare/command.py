"""The command line of ``python -m eval compare``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from eval.compare.config import CompareConfig
from janusflow.options import add_flags, from_flags

OUT = Path("results/compare")
RECORDED_OUT = Path("results/recorded")
EPILOG = """\
examples:
  python -m eval compare flow=runs/flow ar=runs/ar
  python -m eval compare flow=runs/flow_0,runs/flow_1 ar=runs/ar_0,runs/ar_1    two training seeds each
  python -m eval compare runs/a runs/b --no-sweep --prompts-per-tag 34          more prompts, one setting
  python -m eval compare runs/* --recorded                                      the scores that the runs recorded
"""


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
    add_flags(parser, CompareConfig)


def run_compare(args: argparse.Namespace) -> int:
    """Compare, and print the scores' table and where the report is."""
    from eval.compare.contestants import parse_contestants
    from eval.compare.report import score_tables
    from eval.compare.run import compare, write_recorded
    from eval.pages.page import markdown_table
    from janusflow.command_line import find_device
    from janusflow.weights import read_json_object

    contestants = parse_contestants(args.models)
    if args.recorded:
        lines, pictures = write_recorded(contestants, args.out or RECORDED_OUT)
        print("\n".join([*lines, *map(str, pictures)]))
        return 0
    out = args.out or OUT
    config = from_flags(args, CompareConfig, sweep=not args.no_sweep)
    page = compare(contestants, config, out, str(find_device(args.device)))
    comparison = read_json_object(out / "comparison.json")
    for title, table in score_tables(comparison):
        print(f"\n{title}\n\n" + "\n".join(markdown_table(table)))
    print(f"\n{page}")
    return 0
