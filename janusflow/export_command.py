"""``janusflow export``, ``push``, ``merge`` and ``convert``: model folders, written anew or uploaded."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from janusflow.model_flags import REVISION, add_loading, load

if TYPE_CHECKING:
    from janusflow.pipeline import Pipeline

FORMATS = ("janusflow", "deepseek", "transformers")
SHARD_SIZE = "a weights file is at most this large, such as 500MB"


def add_exports(commands: Any) -> None:
    """Add the four."""
    export = commands.add_parser("export", help="write a model folder", description=run_export.__doc__)
    add_loading(export)
    export.set_defaults(run=run_export)
    export.add_argument("source", metavar="RUN", help="run folder (its averaged weights), model folder or hub id")
    export.add_argument("out", type=Path, metavar="DIR", help="folder to write; must not exist or be empty")
    export.add_argument("--format", choices=FORMATS, default="deepseek", help="the folder's layout")
    add_writing(export)

    push = commands.add_parser("push", help="upload a model to the hub", description=run_push.__doc__)
    add_loading(push)
    push.set_defaults(run=run_push)
    push.add_argument("source", metavar="MODEL", help="run folder (its averaged weights), model folder or hub id")
    push.add_argument("repo", metavar="REPO", help="owner/name on the hub; made if it is not there")
    push.add_argument("--format", choices=FORMATS, default="janusflow", help="the repository's layout")
    add_writing(push)
    push.add_argument("--private", action="store_true", help="of a new repository: for its owner alone")
    push.add_argument("--branch", help="a branch that is there (default: its main branch)")
    push.add_argument("--create-pr", action="store_true", help="propose the change instead of making it")
    push.add_argument("--message", default="Upload model", help="of the commit")

    merge = commands.add_parser(
        "merge",
        help="write a model with an adapter's changes in its weights",
        description="Write a model folder whose weights have an adapter (LoRA) in them: a model like any other. "
        "janusflow export with --adapter does the same.",
    )
    merge.set_defaults(run=run_export, revision=None, vae=None, device="cpu", dtype=None)
    merge.add_argument("source", metavar="MODEL", help="model folder, run folder, hub id or shipped model")
    merge.add_argument("adapter", metavar="ADAPTER", help="run folder of an adapter, adapter folder or hub id")
    merge.add_argument("--out", type=Path, required=True, help="folder to write; must not exist or be empty")
    merge.add_argument("--format", choices=FORMATS, default="janusflow", help="the folder's layout")
    add_writing(merge)

    convert = commands.add_parser(
        "convert",
        help="rewrite a model released as pickles as safetensors",
        description="Rewrite a model whose weights are released as pickles (.bin; such as deepseek-ai/Janus-Pro-1B) as "
        "safetensors, once. Only tensors are unpickled, which cannot run code.",
    )
    convert.set_defaults(run=run_convert)
    convert.add_argument("source", metavar="MODEL", help="model folder or hub id")
    convert.add_argument("out", type=Path, metavar="DIR", help="folder to write; must not exist or be empty")
    convert.add_argument("--revision", help=REVISION)
    convert.add_argument("--shard-size", default="5GB", help=SHARD_SIZE)


def add_writing(parser: argparse.ArgumentParser) -> None:
    """The options that say how a model folder is written (see :func:`load_stored`)."""
    parser.add_argument("--shard-size", default="5GB", help=SHARD_SIZE)
    parser.add_argument(
        "--results",
        action="append",
        default=[],
        metavar="DIR",
        help="folder of python -m eval run, whose scores the model card takes; again for more (default: those that "
        "ended the run)",
    )
    parser.add_argument("--license", help="of the model, as the hub calls it, such as mit (default: none is stated)")


def run_convert(args: argparse.Namespace) -> int:
    """Write the model anew with safetensors."""
    from janusflow.checkpoints.pickles import convert_pickles

    check_empty(args.out)
    convert_pickles(args.source, args.out, args.revision, args.shard_size)
    print(args.out)
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write a model in DeepSeek's layout, transformers' or ours, weights as they are stored or in ``--dtype``.

    Only our layout holds an image codec of whatever origin; the others are written with the model's own, if any.
    """
    check_empty(args.out)
    pipeline, settings = load_stored(args)
    pipeline.save_pretrained(args.out, args.format, **settings)
    print(args.out)
    return 0


def run_push(args: argparse.Namespace) -> int:
    """Upload a model with its model card to the Hugging Face hub, and print the commit's address.

    What is uploaded is what ``janusflow export --format janusflow`` writes. Log in first: hf auth login.
    """
    pipeline, settings = load_stored(args)
    where = {"private": args.private or None, "revision": args.branch, "create_pr": args.create_pr}
    print(pipeline.push_to_hub(args.repo, layout=args.format, commit_message=args.message, **where, **settings))
    return 0


def load_stored(args: argparse.Namespace) -> tuple[Pipeline, dict[str, Any]]:
    """The model ``source`` in its stored type, and how the flags have it written."""
    import torch

    from janusflow.pipeline import Pipeline

    args.model = args.source
    own = Path(args.source) / "scores"  # what ended a run
    results = args.results or ([own] if (own / "result.json").exists() and not args.adapter else [])
    dtype = getattr(torch, args.dtype) if args.dtype else None
    bundle = load(args, vae="auto" if args.format == "janusflow" else "stored", dtype="stored")
    settings = {"dtype": dtype, "shard_size": args.shard_size, "results": results, "license": args.license}
    return Pipeline(**vars(bundle)), settings


def check_empty(folder: Path) -> None:
    """Raise ``ValueError`` where ``folder`` holds anything, or is none."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not empty")
