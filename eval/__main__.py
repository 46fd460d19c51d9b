"""``python -m eval``: score a model. Every result states its protocol."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from eval.cli import add_list, add_report, add_run, add_sweep
from eval.compare.command import add_parser as add_compare
from eval.fid.command import add_parser as add_fid
from eval.tasks import TASKS
from janusflow.command_line import Parser, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 1 for an incomplete result, else see :func:`run_command`."""
    words = sys.argv[1:] if argv is None else list(argv)

    def command() -> int:
        args = build_parser(words).parse_args(words)
        return int(args.run(args))

    return run_command(command, "interrupted: the same command goes on from here")


def build_parser(words: Sequence[str]) -> Parser:
    """The command line, with parsers for those tasks that ``words`` may mean: a task is imported for its options."""
    command, task = [*words, "", ""][:2]
    known = task in TASKS or ":" in task
    tasks = [task] if known else list(TASKS.paths)
    parser = Parser(prog="python -m eval", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_run(commands, tasks if command == "run" else [])
    add_sweep(commands, tasks if command == "sweep" else [])
    add_report(commands)
    add_list(commands)
    add_compare(commands)
    add_fid(commands)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
