"""``janusflow data check``: look through sources before a run does."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from janusflow.command_line import make_folder


def add_data(commands: Any) -> None:
    """Add ``data`` with its own commands."""
    parser = commands.add_parser("data", help="look through training data", description="Commands about training data.")
    actions = parser.add_subparsers(required=True, metavar="COMMAND")
    check = actions.add_parser(
        "check",
        help="counts, sizes, lengths, unreadable samples, duplicates and a contact sheet of sources",
        description="Look through sources of training data: counts, sizes of pictures, lengths of texts, what cannot "
        "be read, duplicates, and a contact sheet. The exit code is 1 where more is unreadable than a run bears.",
    )
    check.set_defaults(run=run_check)
    check.add_argument(
        "source",
        nargs="+",
        help="YAML file of a run, whose data.sources are checked; or KIND=PATH[,KEY=VALUE…], as in "
        "conversations=llava.json,images=coco",
    )
    check.add_argument("--out", type=Path, default=Path("data-check"), help="folder of the findings")
    check.add_argument(
        "--tokenizer", help="tokenizer.json, or a model folder or hub id, to count tokens by (default: the run's)"
    )
    check.add_argument("--limit", type=int, help="samples of each source, from the first (default: all)")
    check.add_argument("--workers", type=int, default=2, help="processes that read")


def run_check(args: argparse.Namespace) -> int:
    """Check every source; print and write what is found."""
    from janusflow.data.check import check_source, describe_findings, write_findings
    from janusflow.data.sources import open_reader
    from janusflow.progress import progress_bar

    if args.limit is not None and args.limit < 1:
        raise ValueError(f"--limit must be at least 1, got {args.limit}")
    if args.workers < 0:
        raise ValueError(f"--workers must be 0 or more, got {args.workers}")
    sources, tokenizer, bearable = find_sources(args.source)
    length = token_counter(args.tokenizer or tokenizer)
    readers = {name: open_reader(config) for name, config in sources.items()}
    make_folder(args.out)
    code = 0
    for name, reader in readers.items():
        with progress_bar(f"checking {name}", "sample", leave=False) as progress:
            found = check_source(name, reader, length, args.limit, args.workers, progress)
        print("\n".join(describe_findings(found)))
        for path in write_findings(found, args.out):
            print(path)
        if len(found.faults) > bearable * found.looked:
            code = 1
            print(f"{name}: more than {bearable:.0%} cannot be read (data.max_faults)", file=sys.stderr)
    return code


def find_sources(given: list[str]) -> tuple[dict[str, Any], str | None, float]:
    """Sources by name, the tokenizer of a run's file if there is one, and the share of faults that it bears."""
    from janusflow.config import load_config
    from janusflow.data.config import DataConfig, source_config
    from janusflow.training.config import RunConfig

    found: dict[str, Any] = {}
    tokenizer, bearable = None, DataConfig().max_faults
    for item in given:
        if item.endswith((".yaml", ".yml")):
            config = load_config(RunConfig, item)
            found |= config.data.used_sources
            tokenizer, bearable = config.parts.checkpoint or config.parts.tokenizer, config.data.max_faults
            continue
        kind, equals, rest = item.partition("=")
        path, *pairs = rest.split(",")
        keys = dict(pair.partition("=")[::2] for pair in pairs)
        if not (kind and equals and path) or not all(keys.values()):
            raise ValueError(f"{item!r} is neither a YAML file nor of the form KIND=PATH[,KEY=VALUE…]")
        name = kind.replace(":", "-") if kind not in found else f"{kind}-{len(found) + 1}"
        found[name] = source_config(kind, path=path, **keys)
    for name, source in found.items():
        try:
            source.check_files()
        except ValueError as error:
            raise ValueError(f"{name}.{error}") from error
    return found, tokenizer, bearable


def token_counter(given: str | None) -> Callable[[str], int] | None:
    """What counts a text's tokens; None where there is no tokenizer."""
    if given is None:
        return None
    from janusflow.checkpoints.adapters import unfold
    from janusflow.data.tokenizer import TextTokenizer
    from janusflow.training.build import locate
    from janusflow.weights import HUB_SETTINGS, model_folder

    path = Path(locate(given))
    if not path.is_file():
        path = model_folder(unfold(given)[0], files=HUB_SETTINGS) / "tokenizer.json"
    tokenizer = TextTokenizer.from_file(path)
    return lambda text: len(tokenizer.encode(text))
