"""The flags that say which model a command takes, where it computes, and how it draws: of every command line here."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Literal

import yaml

from janusflow.command_line import find_device
from janusflow.options import IMAGE_GUIDANCE, SAMPLING, SHARED, WORSE, add_flags, check_given

if TYPE_CHECKING:
    from janusflow.checkpoints.pretrained import Bundle

DTYPES = ("float32", "bfloat16", "float16")
REVISION = "branch, tag or commit of a hub id (default: its main branch)"
DEVICE = "cpu, cuda, mps … (default: cuda if there is one, else cpu)"


def add_model(parser: argparse.ArgumentParser) -> None:
    """The options that say which model, and how it is loaded (see :func:`load`)."""
    parser.add_argument(
        "--model",
        help="shapes-flow or shapes-ar, which are shipped; model folder, run folder or hub id, such as "
        "deepseek-ai/JanusFlow-1.3B (default: shapes-flow)",
    )
    add_loading(parser)


def add_loading(parser: argparse.ArgumentParser) -> None:
    """The options that say how a model is loaded (see :func:`load`)."""
    parser.add_argument("--revision", help=REVISION)
    parser.add_argument(
        "--vae",
        help="image codec: folder, hub id or TAESD file, or none where no picture is drawn (default: the model's own, "
        "else the SDXL-VAE)",
    )
    parser.add_argument(
        "--adapter", metavar="PATH", help="adapter (LoRA) over the model: a run that trained one, a folder or hub id"
    )
    parser.add_argument("--device", help=DEVICE)
    parser.add_argument("--dtype", choices=DTYPES, help="the weights' type (default: bfloat16 on cuda, else float32)")


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """How pictures are drawn; without an option the model's or the head's own default counts."""
    parser.add_argument(
        "--guidance",
        type=float,
        default=argparse.SUPPRESS,
        help="classifier-free guidance weight; 1 is none (default: the model's own, else its kind's, 2 or 5)",
    )
    parser.add_argument(
        "--image-guidance",
        type=float,
        default=argparse.SUPPRESS,
        help=f"{IMAGE_GUIDANCE} (default: the model's own, else that of both)",
    )
    parser.add_argument("--worse", metavar="MODEL", default=argparse.SUPPRESS, help=f"{WORSE} (default: none)")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of a head from elsewhere"
    )
    for options in SAMPLING.values():
        add_flags(parser.add_argument_group(options.models), options, without=SHARED, optional=True)


def load(args: argparse.Namespace, vae: str | None = "auto", dtype: Literal["stored"] | None = None) -> Bundle:
    """The model that the flags name, on the device and in the type they name; ``vae`` and ``dtype`` are defaults."""
    import torch

    from janusflow.checkpoints.pretrained import DEFAULT, load_pretrained

    return load_pretrained(
        args.model or DEFAULT,
        dtype=getattr(torch, args.dtype) if args.dtype else dtype,
        device=find_device(args.device),
        revision=args.revision,
        vae=None if args.vae == "none" else args.vae or vae,
        adapter=args.adapter,
    )


def sampling_flags(args: argparse.Namespace) -> dict[str, Any]:
    """The sampling options that the command line gives. Raises ``ValueError`` for values impossible for any head."""
    names = dict.fromkeys(name for options in SAMPLING.values() for name in options.names())
    given = {name: getattr(args, name) for name in names if hasattr(args, name)}
    check_given(given)
    for item in getattr(args, "option", ()):  # tasks that draw nothing have none
        name, equals, value = item.partition("=")
        if not equals:
            raise ValueError(f"--option {item!r} is not of the form NAME=VALUE")
        given[name] = yaml.safe_load(value)
    return given
