"""The ``janusflow`` command: draw pictures, ask about pictures."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from janusflow import __version__

if TYPE_CHECKING:
    from janusflow.checkpoint import Bundle


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
    parser = argparse.ArgumentParser(prog="janusflow", description=__doc__)
    parser.add_argument("--version", action="version", version=f"janusflow {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    model = argparse.ArgumentParser(add_help=False)
    model.add_argument("--model", help="model folder or run folder (default: the shipped shapes-world model)")
    model.add_argument("--device", help="cpu, cuda, mps … (default: cuda if there is one, else cpu)")

    generate = commands.add_parser(
        "generate",
        parents=[model],
        help="draw pictures of a prompt",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    generate.set_defaults(run=run_generate)
    generate.add_argument("prompt", nargs="+", help="what to draw; several prompts are drawn in one batch")
    generate.add_argument("--out", type=Path, default=Path("out"), help="folder for the PNG files")
    generate.add_argument("--steps", type=int, default=30, help="solver steps")
    generate.add_argument("--guidance", type=float, default=4.0, help="classifier-free guidance weight; 1 is none")
    generate.add_argument("--sampler", default="euler", help="euler, heun or midpoint")
    generate.add_argument(
        "--shift", type=float, default=1.0, help="time shift; over 1 spends more steps near the noise"
    )
    generate.add_argument(
        "--seed", type=int, default=0, help="seed of the first picture of a prompt; the next ones count up"
    )
    generate.add_argument("--num-images", type=int, default=4, help="pictures for each prompt")
    generate.add_argument("--batch-size", type=int, default=16, help="pictures computed together")

    chat = commands.add_parser("chat", parents=[model], help="ask about a picture")
    chat.set_defaults(run=run_chat)
    chat.add_argument("image", help="picture file")
    chat.add_argument("question", nargs="*", help="questions; without any they are read from standard input")
    return parser


def run_generate(args: argparse.Namespace) -> int:
    """Draw ``--num-images`` pictures of each prompt, write them as PNG with their settings, print the paths."""
    if args.num_images < 1:
        raise ValueError(f"--num-images must be at least 1, got {args.num_images}")
    if args.seed < 0:
        raise ValueError(f"--seed must be 0 or more, got {args.seed}")
    empty = [prompt for prompt in args.prompt if not prompt.strip()]
    if empty:
        raise ValueError("a prompt is empty")
    from tqdm import tqdm

    from janusflow.generate import generate_images
    from janusflow.models.flow_head import SamplingOptions
    from janusflow.pictures import save_png

    options = SamplingOptions(args.steps, args.guidance, args.sampler, args.shift).check()
    bundle = load(args)
    prompts = [prompt for prompt in args.prompt for _ in range(args.num_images)]
    seeds = [args.seed + number for _ in args.prompt for number in range(args.num_images)]
    with tqdm(desc="drawing", unit="step", disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        images = generate_images(bundle, prompts, seeds, options, args.batch_size, progress)
    make_folder(args.out)
    for prompt, seed, image in zip(prompts, seeds, images, strict=True):
        path = args.out / f"{slug(prompt)}-{seed}.png"
        settings = {"prompt": prompt, "seed": seed, **options._asdict(), "model": bundle.digest, "version": __version__}
        save_png(image, path, settings)
        print(path)
    return 0


def run_chat(args: argparse.Namespace) -> int:
    """Answer questions about one picture, a line each."""
    from janusflow.generate import answer_questions
    from janusflow.pictures import read_image

    image = read_image(args.image)
    bundle = load(args)
    if args.question:
        for answer in answer_questions(bundle, [image] * len(args.question), args.question):
            print(answer)
        return 0
    if sys.stdin.isatty():
        print("Ask about the picture; an empty line ends.")
    for line in sys.stdin:
        if not line.strip():
            break
        print(answer_questions(bundle, [image], [line.strip()])[0], flush=True)
    return 0


def load(args: argparse.Namespace) -> Bundle:
    """The model that the flags name, on the device they name."""
    import torch

    from janusflow.checkpoint import SHIPPED, load_bundle

    try:
        device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"cannot use the device {args.device!r}: {str(error).splitlines()[0]}") from error
    return load_bundle(args.model or SHIPPED, device)


def make_folder(path: Path) -> None:
    """Create ``path``. Raises ``ValueError`` where that is impossible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write to {path}: {error.strerror}") from error


def slug(text: str, length: int = 60) -> str:
    """``text`` as part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:length] or "image"


if __name__ == "__main__":
    raise SystemExit(main())
