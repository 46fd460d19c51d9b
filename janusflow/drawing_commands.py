"""``janusflow generate`` and ``janusflow edit``: pictures of prompts, and of pictures with instructions."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any, TypeVar

from janusflow.command_line import make_folder
from janusflow.model_flags import add_sampling, load, sampling_flags

JSON = "print JSON, an object a line"

Asked = tuple[str, str | None]  # a prompt, and the file of the picture that it shows, if it shows one
T = TypeVar("T")


def add_generate(commands: Any, model: argparse.ArgumentParser) -> None:
    """Add ``generate``; ``model`` has the flags that say which."""
    parser = commands.add_parser(
        "generate", parents=[model], help="draw pictures of a prompt", description=run_generate.__doc__
    )
    parser.set_defaults(run=run_generate)
    parser.add_argument("prompt", nargs="*", help="what to draw; several prompts are drawn in one batch")
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="FILE",
        help="picture that the prompt shows in front of its words: what the model sees in it is drawn; without words, "
        "the picture again. Several: as many as prompts, or with one prompt or none",
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the PNG files")
    parser.add_argument("--size", metavar="HEIGHTxWIDTH", help="pixels of the pictures (default: the model's square)")
    add_drawing(parser, "prompt", 4)


def add_edit(commands: Any, model: argparse.ArgumentParser) -> None:
    """Add ``edit``; ``model`` has the flags that say which."""
    parser = commands.add_parser(
        "edit", parents=[model], help="change pictures as an instruction says", description=run_edit.__doc__
    )
    parser.set_defaults(run=run_edit)
    parser.add_argument("image", nargs="+", help="picture files; each is edited, all in one batch")
    parser.add_argument("instruction", help="what to change, such as 'make the circle blue'")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out"),
        help="folder for the PNG files, or one that ends in .png for a single one",
    )
    add_drawing(parser, "image", 1)


def add_drawing(parser: argparse.ArgumentParser, of: str, pictures: int) -> None:
    """How pictures are drawn: so many ``of`` each prompt or image by default."""
    add_sampling(parser)
    parser.add_argument(
        "--seed", type=int, default=0, help=f"seed of the first picture of each {of}; the next ones count up"
    )
    parser.add_argument("--num-images", type=int, default=pictures, help=f"pictures for each {of}")
    parser.add_argument("--batch-size", type=int, default=16, help="pictures computed together, at most")
    parser.add_argument(
        "--memory", type=float, metavar="GIB", help="what a batch may take beside the weights; lowers its size"
    )
    parser.add_argument("--tile", action="store_true", help="decode large pictures in tiles, for less memory")
    parser.add_argument("--json", action="store_true", help=f"{JSON}: path, prompt, seed and settings of a picture")


def run_generate(args: argparse.Namespace) -> int:
    """Draw ``--num-images`` pictures of each prompt or ``--image``, write them as PNG with their settings, print the
    paths."""
    check_drawing(args, args.prompt)
    if not args.prompt and not args.image:
        raise ValueError("nothing to draw: give a prompt or --image")
    from janusflow.inference.images import paired
    from janusflow.models.shapes import parse_size

    asked = paired(args.prompt, args.image)
    names = file_names({(prompt, file): drawing_text(prompt if args.prompt else "", file) for prompt, file in asked})
    size = None if args.size is None else parse_size(args.size)
    draw(args, asked, lambda one, seed: args.out / f"{names[one]}-{seed}.png", size)
    return 0


def run_edit(args: argparse.Namespace) -> int:
    """Change each picture as the instruction says, ``--num-images`` times; write them as PNG with their settings, print
    the paths.

    What is edited is a picture's central square. Models that were not trained for it draw something else.
    """
    check_drawing(args, [args.instruction])
    alone = args.out.suffix.lower() == ".png"
    if alone and len(args.image) * args.num_images > 1:
        raise ValueError(f"--out {args.out} takes one picture, and there will be {len(args.image) * args.num_images}")
    asked: list[Asked] = [(args.instruction, file) for file in dict.fromkeys(args.image)]
    names = file_names({one: drawing_text(*one) for one in asked})
    draw(args, asked, lambda one, seed: args.out if alone else args.out / f"{names[one]}-{seed}.png")
    return 0


def check_drawing(args: argparse.Namespace, prompts: Sequence[str]) -> None:
    """Raise ``ValueError`` for a number of pictures, a seed or words with which nothing can be drawn."""
    if args.num_images < 1:
        raise ValueError(f"--num-images must be at least 1, got {args.num_images}")
    if args.seed < 0:
        raise ValueError(f"--seed must be 0 or more, got {args.seed}")
    if not all(prompt.strip() for prompt in prompts):
        raise ValueError("a prompt is empty")


def draw(
    args: argparse.Namespace,
    asked: Sequence[Asked],
    place: Callable[[Asked, int], Path],
    size: tuple[int, int] | None = None,
) -> None:
    """Draw pictures, write each to the ``place`` of what is asked and its seed, and print where they are.

    size: pixels, height and width (default: the model's square).
    """
    from janusflow.inference.images import generate_images
    from janusflow.pictures import read_image, save_png
    from janusflow.progress import progress_bar
    from janusflow.provenance import made_by

    given = sampling_flags(args)
    shown = {file: read_image(file) for _, file in asked if file is not None}
    bundle = load(args)
    options = bundle.model.config.head.sampling(bundle.sampling, given)
    bundle.required_codec.tile(args.tile)
    drawings = [(*one, args.seed + number) for one in asked for number in range(args.num_images)]
    prompts, files, seeds = zip(*drawings, strict=True)
    pictures = [None if file is None else shown[file] for file in files]
    with progress_bar("drawing", "step") as progress:
        images = generate_images(
            bundle, prompts, seeds, options, args.batch_size, progress, args.memory, images=pictures, size=size
        )
    for (prompt, file, seed), image in zip(drawings, images, strict=True):
        path = place((prompt, file), seed)
        make_folder(path.parent)
        facts = made_by(bundle, prompt, seed, options, file and Path(file).name, size)
        save_png(image, path, facts)
        print(json.dumps({"path": str(path), **facts}, ensure_ascii=False) if args.json else path)


def file_names(texts: Mapping[T, str]) -> dict[T, str]:
    """Of each thing with its text a part of a file name that no other has."""
    names: dict[T, str] = {}
    for one, text in texts.items():
        several = (f"{slug(text)}_{number}" for number in count(2))
        names[one] = next(name for name in chain([slug(text)], several) if name not in names.values())
    return names


def drawing_text(words: str, file: str | None) -> str:
    """What the name of a drawing's file is made of."""
    return words if file is None else f"{Path(file).stem} {words}"


def slug(text: str, size: int = 60) -> str:
    """``text`` as part of a file name, of ``size`` bytes at most: its letters and digits, of any script."""
    words = re.sub(r"[\W_]+", "-", text.lower()).strip("-")
    return words.encode(errors="ignore")[:size].decode(errors="ignore").strip("-") or "image"
