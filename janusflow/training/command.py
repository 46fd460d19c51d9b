"""Train a model: ``python train.py [CONFIG] [key=value …]`` or ``janusflow train``; or go on with ``--resume``.

Without arguments it runs the whole pipeline in the shapes world (configs/shapes.yaml) on a CPU and ends with
runs/shapes/report.md: pictures, loss curves and scores.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from janusflow.command_line import Parser
from janusflow.registry import Registry

if TYPE_CHECKING:
    from janusflow.training.run import Run

DEFAULT_CONFIG = "configs/shapes.yaml"
LATEST = "latest"
OVERRIDES = """overrides (quote them for the shell):
  trainer.devices=8                      set a value
  'model.llm={num_layers: 4}'            merge into a mapping: its other keys stay
  'data.sources={mine: {kind: …}}'       but sources, and stages, are named all at once: the others go
  '~data.sources.chat'                   remove a key
  '~chat' 'chat={user: Q, assistant: A}' replace a mapping whole: remove it, then set it
"""


# What scores and shows the model of a run folder, report(folder, bundle, world, config, minutes) -> (page, a line of
# scores): a package beside this one, which imports it.
REPORTS: Registry[Callable[..., tuple[Path, str]]] = Registry(
    "report", "janusflow.reports", {"world": "eval.worlds.report:report_run"}
)


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run; returns the exit code: 0, 2 for bad input (one line on stderr), 130 when interrupted."""
    parser = Parser(prog=prog, description=__doc__, epilog=OVERRIDES)
    parser.add_argument("config", nargs="?", help=f"YAML file (default: {DEFAULT_CONFIG})")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes to the file's settings, in order")
    parser.add_argument(
        "--resume", nargs="?", const=LATEST, metavar="RUN", help="go on with a run folder (default: the latest)"
    )
    parser.add_argument(
        "--plan",
        action="store_true",
        help="say what the run takes of memory, data and time, and load and train nothing",
    )
    parser.add_argument(
        "--memory", type=float, metavar="GB", help="with --plan: what a GPU has; exit code 1 where the run does not fit"
    )
    args = parser.parse_intermixed_args(argv)
    if args.config and ("=" in args.config or args.config.startswith("~")):
        args.overrides.insert(0, args.config)
        args.config = None
    from janusflow.training import distributed
    from janusflow.training.run import Stopped

    try:
        return plan(args) if args.plan else run(args)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        if distributed.is_main():
            print(f"{stopped}: state saved; go on with: python train.py --resume {stopped.folder}", file=sys.stderr)
        return 128 + stopped.number
    except KeyboardInterrupt:
        print("interrupted; go on with: python train.py --resume RUN", file=sys.stderr)
        return 130
    finally:
        distributed.disconnect()


def plan(args: argparse.Namespace) -> int:
    """Print what the run would take; 1 where that is more than there is."""
    from janusflow.config import load_config
    from janusflow.training.config import RunConfig
    from janusflow.training.forecast import Forecast
    from janusflow.training.forecast_report import describe

    if args.memory is not None and not 0 < args.memory < float("inf"):
        raise ValueError(f"--memory must be a number of GB above 0, got {args.memory}")
    current = choose_run(args)
    path = current.folder / "config.yaml" if args.resume else Path(args.config or DEFAULT_CONFIG)
    forecast = Forecast(lambda changes: load_config(RunConfig, path, [*args.overrides, *changes]))
    text, fits = describe(forecast, None if args.memory is None else args.memory * 1e9)
    print(text)
    return 0 if fits else 1


def run(args: argparse.Namespace) -> int:
    """Train, score, report."""
    import torch

    from janusflow.checkpoints.pretrained import load_pretrained
    from janusflow.training import distributed
    from janusflow.training.run import Run
    from janusflow.training.throughput import memory_gib
    from janusflow.worlds.scenes import World
    from janusflow.worlds.source import world_of

    start = time.time()
    distributed.connect()
    current = distributed.together(lambda: choose_run(args))
    distributed.launch(current.config.trainer.devices)
    current = Run(distributed.from_main(current.folder), current.config)
    if distributed.is_main():
        print(f"run folder: {current.folder}")
    current.train()
    if not distributed.is_main():
        return 0
    minutes = None if args.resume else (time.time() - start) / 60
    config = current.config.report
    bundle = load_pretrained(current.folder / "model") if config.tasks else None
    world = world_of(current.config.data) or World()
    page, scores = REPORTS.load("world")(current.folder, bundle, world, config, minutes)
    if scores:
        print(scores)
    memory = memory_gib(torch.device("cpu"), children=True)
    print(f"done in {(time.time() - start) / 60:.1f} minutes, peak memory {memory:.1f} GiB: {page}")
    return 0


def choose_run(args: argparse.Namespace) -> Run:
    """The run to go on with, or a new one, checked as far as that takes no time."""
    from janusflow.config import load_config
    from janusflow.training.config import RunConfig
    from janusflow.training.preflight import check_start
    from janusflow.training.run import Run

    if args.resume and args.resume != LATEST:
        current = Run.resume(Path(args.resume), args.overrides)
    else:
        config = load_config(RunConfig, args.config or DEFAULT_CONFIG, args.overrides)
        current = Run.resume(Run.latest(config), args.overrides) if args.resume else Run.create(config)
    check_start(current.config)
    return current
