"""The command lines of ``python -m eval run``, ``sweep``, ``report`` and ``list``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.result import LIMITED, RESULT, Result, problem_lines, score_lines
from eval.store import Shard
from eval.task import Task
from eval.tasks import all_tasks, find_task
from janusflow.command_line import find_device
from janusflow.model_flags import add_model, add_sampling, load, sampling_flags
from janusflow.options import add_flags, check_given, flag_name, from_flags, sweepable

if TYPE_CHECKING:  # what needs torch is loaded when a command runs
    from eval.candidate import Candidate
    from eval.runner import RunOptions
    from janusflow.checkpoints.pretrained import Bundle

OUT = Path("results")
RUN_EPILOG = """\
Two stages, each stored item by item: pictures or answers of the model, then their judgement. Killed at any moment, the
same command goes on. Several processes share the work under torchrun, or as --shard 0/4 … 3/4 on any machines that see
the same --out; the last one to finish scores.
"""


def add_run(commands: Any, names: Sequence[str]) -> None:
    """Add ``run`` with a parser for each task of ``names``."""
    parser = commands.add_parser(
        "run",
        help="score a model, a folder of pictures or a file of answers on a task",
        description="Every task has options of its own: python -m eval run TASK --help",
    )
    tasks = parser.add_subparsers(required=True, metavar="TASK")
    for name in names:
        task = find_task(name)
        one = tasks.add_parser(name, help=task.title, description=task.__doc__, epilog=RUN_EPILOG)
        one.set_defaults(run=run_task, task=task)
        add_flags(one.add_argument_group(task.title), task.options)
        add_running(one, task, task.name)
        one.add_argument("--json", action="store_true", help="print what result.json holds in the place of a table")
        if task.draws:
            one.add_argument("--images", type=Path, metavar="FOLDER", help="score this folder's pictures; draw none")
        if task.asks:
            one.add_argument(
                "--answers", type=Path, metavar="FILE", help="score these answers (JSON lines: id, answer)"
            )
        add_model(one.add_argument_group("the model"))
        if task.draws:
            add_sampling(one)


def add_running(parser: argparse.ArgumentParser, task: type[Task], folder: str) -> None:
    """The options of every task; a task without pictures has no seeds, and nothing scores what it lacks."""
    parser.set_defaults(images=None, answers=None, seed=0)
    parser.add_argument("--out", type=Path, help=f"result folder (default: {OUT}/MODEL/{folder})")
    parser.add_argument("--limit", type=int, help="only that many items, evenly from all parts; marked incomplete")
    parser.add_argument("--shard", metavar="I/N", help="do part I of N, from 0 (default: all, or torchrun's rank)")
    parser.add_argument("--batch-size", type=int, default=16, help="items computed together")
    parser.add_argument("--workers", type=int, help="processes that read and resize pictures (default: one a core)")
    if task.draws:
        parser.add_argument("--seed", type=int, default=0, help="added to the seeds of all pictures")


def add_sweep(commands: Any, names: Sequence[str]) -> None:
    """Add ``sweep`` with a parser for each task of ``names`` that draws."""
    parser = commands.add_parser(
        "sweep",
        help="score a model over a grid of sampling settings, with plots",
        description="Every task has options of its own: python -m eval sweep TASK --help",
    )
    tasks = parser.add_subparsers(required=True, metavar="TASK")
    for name in names:
        task = find_task(name)
        if not task.draws and len(names) == 1:
            raise ValueError(f"{name} draws no pictures: there is nothing to sweep")
        if not task.draws:
            continue
        one = tasks.add_parser(
            name,
            help=task.title,
            description="Every combination of the values is scored in a folder of its own; killed, it goes on.",
        )
        one.set_defaults(run=run_sweep, task=task)
        swept = one.add_argument_group("settings to sweep, several values each")
        for setting, (kind, text) in sweepable().items():
            swept.add_argument(flag_name(setting), type=kind, nargs="+", metavar="VALUE", help=text)
        add_flags(one.add_argument_group(task.title), task.options)
        add_running(one, task, f"{task.name}-sweep")
        add_model(one.add_argument_group("the model"))


def run_sweep(args: argparse.Namespace) -> int:
    """Score every setting; print where the report is."""
    from eval.pages.sweep import settings_of, sweep
    from eval.runner import run

    swept = {name: values for name in sweepable() if (values := getattr(args, name))}
    if not swept:
        raise ValueError(f"nothing to sweep: give one of {', '.join(map(flag_name, sweepable()))}")
    args.out = args.out or OUT / subject(args) / f"{args.task.name}-sweep"
    options = running_options(args)
    task = args.task(from_flags(args, args.task.options))
    settings = settings_of(swept)
    for setting in settings:
        check_given(setting)
    loaded: list[Bundle] = []  # once, for all points
    codes: list[int] = []

    def run_point(setting: dict[str, Any], folder: Path) -> Result | None:
        def load_once() -> Candidate:
            if not loaded:
                bundle = load(args)
                for every in settings:
                    bundle.model.config.head.sampling(bundle.sampling, every)  # before anything is drawn
                loaded.append(bundle)
            return make_candidate(args, loaded[0], setting)

        result = run(task, dataclasses.replace(options, out=folder), load_once)
        codes.append(exit_code(result) if result else 0)
        return result

    page = sweep(swept, args.out, run_point)
    print(page or f"this part is done; others are left to do in {args.out}")
    return max(codes)


def add_report(commands: Any) -> None:
    """Add ``report``."""
    parser = commands.add_parser(
        "report", help="all results of a model on a page, beside the papers' numbers", description=run_report.__doc__
    )
    parser.set_defaults(run=run_report)
    parser.add_argument(
        "results", nargs="+", metavar="[NAME=]FOLDER", help="result folders of a model, or their parent"
    )
    parser.add_argument("--out", type=Path, default=OUT / "report", help="folder of report.md, .html and .tex")
    parser.add_argument("--title", default="Results", help="the page's title")


def run_report(args: argparse.Namespace) -> int:
    """Write the page; print the main scores and its path."""
    from eval.pages.page import markdown_table
    from eval.pages.report import find_results, overview_table, write_report

    found = find_results(args.results)
    page = write_report(found, args.out, args.title)
    print("\n".join(markdown_table(overview_table(found))))
    print(f"\n{page}")
    return 0


def add_list(commands: Any) -> None:
    """Add ``list``."""
    parser = commands.add_parser(
        "list", help="what each task measures, what it needs and where that is had", description=list_tasks.__doc__
    )
    parser.set_defaults(run=list_tasks)


def list_tasks(args: argparse.Namespace) -> int:
    """Print every task with its needs."""
    for task in all_tasks():
        print(f"{task.name}: {task.title}")
        for need in task.needs:
            print(f"    {need.flag}  {need.what}: {need.where} ({need.size})")
        if not task.needs:
            print("    needs nothing that is not installed")
    return 0


def run_task(args: argparse.Namespace) -> int:
    """Run a task's part that is not done yet; print the scores, once all is there."""
    from eval.runner import run

    options = running_options(args)
    sampling = sampling_flags(args) if args.task.draws else {}
    result = run(args.task(from_flags(args, args.task.options)), options, partial(load_candidate, args, sampling))
    if result is None:
        print(f"this part is done; others are left to do in {options.out}")
        return 0
    table = "\n".join([*score_lines(result), "", str(options.out / RESULT)])
    print(json.dumps(result) if args.json else table)
    for line in problem_lines(result):
        print(line, file=sys.stderr)
    return exit_code(result)


def exit_code(result: Result) -> int:
    """0 of a result that is complete, or as complete as its limit lets it be; else 1."""
    return 0 if result["complete"] or (LIMITED in result["problems"] and not result["broken"]) else 1


def running_options(args: argparse.Namespace) -> RunOptions:
    """How the command line wants the task run; one process of torchrun takes its part, on a GPU of its own."""
    from eval.runner import RunOptions

    rank, ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if args.device is None and ranks > 1 and find_device(None).type == "cuda":
        args.device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    if args.shard and ranks > 1:
        raise ValueError("--shard and torchrun both divide the work: use one of them")
    shard = Shard.parse(args.shard) if args.shard else Shard(rank, ranks)
    return RunOptions(
        out=args.out or OUT / subject(args) / args.task.name,
        batch_size=args.batch_size,
        limit=args.limit,
        shard=shard,
        device=str(find_device(args.device)),
        workers=args.workers,
        images=args.images,
        answers=args.answers,
    )


def subject(args: argparse.Namespace) -> str:
    """What is scored, as the name of a folder."""
    from janusflow.checkpoints.pretrained import DEFAULT

    scored = args.images or args.answers or args.model or DEFAULT
    return "+".join(folder_name(path) for path in (scored, args.adapter) if path is not None)


def folder_name(path: str | Path) -> str:
    """A path or hub id as the name of a folder."""
    return Path(path).resolve().name if Path(path).exists() else str(path).replace("/", "--")


def load_candidate(args: argparse.Namespace, given: dict[str, Any]) -> Candidate:
    """The model that the flags name, with the sampling options that are given; a codec only where it is needed."""
    return make_candidate(args, load(args, vae="auto" if args.task.draws else "sight"), given)


def make_candidate(args: argparse.Namespace, bundle: Bundle, given: dict[str, Any]) -> Candidate:
    """A loaded model with the sampling options that are given."""
    from eval.candidate import Candidate

    return Candidate(bundle, bundle.model.config.head.sampling(bundle.sampling, given), args.batch_size, args.seed)
