"""``python -m eval``: score a model. Every result states its protocol."""

from __future__ import annotations

from collections.abc import Sequence

from eval.cli import add_list, add_report, add_run, add_sweep
from eval.compare.command import add_parser as add_compare
from eval.fid.command import add_parser as add_fid
from janusflow.command_line import Parser, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 1 for an incomplete result, else see :func:`run_command`."""
    args = build_parser().parse_args(argv)
    return run_command(lambda: args.run(args), "interrupted: the same command goes on from here")


def build_parser() -> Parser:
    """The command line."""
    parser = Parser(prog="python -m eval", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_run(commands)
    add_sweep(commands)
    add_report(commands)
    add_list(commands)
    add_compare(commands)
    add_fid(commands)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
