"""``python -m eval fid A B``: how far the pictures of a folder are from those of another, or from stored statistics."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from eval.features.extractors import find_extractor
from eval.features.frechet import frechet_distance
from eval.features.images import ImageFiles
from eval.features.reference import BATCH, Reference, check_reference, find_reference, read_reference
from eval.features.resizing import RESIZES
from eval.fid.score import Naming, feature_scores, protocol_of_scores, short_count
from eval.fid.task import CACHE
from eval.pages.page import Table, markdown_table
from eval.result import show

DESCRIPTION = """\
FID of the pictures in A against those in B; KID, precision and recall where the features of both sides are at hand.
Either side is a folder (at any depth) or a .zip of pictures, or an .npz: of ours, or with mu and sigma as pytorch-fid,
clean-fid and ADM write them. Features are computed once: killed, the same command goes on.
"""


def add_parser(commands: Any) -> None:
    """Add ``fid``."""
    parser = commands.add_parser(
        "fid",
        help="FID of two folders of pictures, or of stored statistics",
        description=DESCRIPTION,
    )
    parser.set_defaults(run=run_fid)
    parser.add_argument("generated", type=Path, metavar="A", help="generated pictures: a folder, a .zip or an .npz")
    parser.add_argument("real", type=Path, metavar="B", help="real pictures, likewise")
    parser.add_argument("--resize", choices=RESIZES, default="clean", help="clean: clean-fid's; others come before it")
    parser.add_argument("--extractor", default="inception", help="inception, shapes, or a TorchScript file")
    parser.add_argument("--batch-size", type=int, default=BATCH, help="pictures that the network takes together")
    parser.add_argument("--device", help="device of the network (default: a GPU if there is one)")
    parser.add_argument("--workers", type=int, help="processes that read and resize pictures (default: one a core)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder where features are kept")


def run_fid(args: argparse.Namespace) -> int:
    """Print the scores of two sets of pictures, and how they were computed."""
    from janusflow.command_line import find_device

    for name, least in (("batch_size", 1), ("workers", 0)):
        if (given := getattr(args, name)) is not None and given < least:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, got {given}")
    stored = {path: read_reference(path) for path in (args.generated, args.real) if path.suffix == ".npz"}
    folders = {path: ImageFiles(path) for path in (args.generated, args.real) if path not in stored}
    extractor = find_extractor(args.extractor, str(find_device(args.device))) if folders else None
    for path, one in stored.items():  # before anything is computed
        if extractor:
            check_reference(path, one, extractor, args.resize)
    sides = dict(stored)
    for path, files in folders.items():
        assert extractor is not None
        options = (extractor, args.resize, args.workers, args.batch_size)
        sides[path] = find_reference(args.cache, path.resolve().stem, files, files.names, *options)
    generated, real = sides[args.generated], sides[args.real]
    naming = naming_of(generated, real, args)
    headline = naming.distance(generated.stats.n if is_counted(generated) else None)
    scores: dict[str, float | None] = {headline: frechet_distance(generated.stats, real.stats)}
    if generated.features is not None and real.features is not None:
        scores |= feature_scores(generated.features, real.features, naming)
    rows = [[name, show(value)] for name, value in scores.items()]
    print("\n".join(markdown_table(Table(["score", "value"], rows))), end="\n\n")
    for letter, path in (("A", args.generated), ("B", args.real)):
        print(f"{letter}: {describe_side(path, sides[path])}")
    print("; ".join(f"{name}: {what}" for name, what in protocol_of_scores().items()))
    return 0


def naming_of(generated: Reference, real: Reference, args: argparse.Namespace) -> Naming:
    """How the scores are called: FID only where one side says that it is Inception's, and the other no else."""
    said = [one.record["extractor"] for one in (generated, real) if "extractor" in one.record]
    names = list(dict.fromkeys(one["name"] for one in said))
    if len(said) == 2 and said[0] != said[1]:
        raise ValueError(f"{args.generated} is of the extractor {said[0]}, {args.real} of {said[1]}")
    resizes = list(dict.fromkeys(one.record["resize"] for one in (generated, real) if "resize" in one.record))
    if len(resizes) == 2:
        raise ValueError(f"{args.generated} is of the resize {resizes[0]}, {args.real} of {resizes[1]}")
    remarks = [f"resize {one}" for one in resizes]
    remarks += [f"statistics {path.name}" for path in (args.generated, args.real) if path.suffix == ".npz"]
    return Naming("", names[0] if names else "unknown", names == ["inception"], tuple(remarks))


def is_counted(side: Reference) -> bool:
    """Whether the number of pictures is known: mu and sigma alone do not say it."""
    return "pictures" in side.record


def describe_side(path: Path, side: Reference) -> str:
    """What a side is, in a line."""
    if not is_counted(side):
        return f"mu and sigma of {path} ({side.stats.dim} features; of which network and pictures, it does not say)"
    few = " - fewer pictures than features: the distance is too large" if side.stats.n <= side.stats.dim else ""
    extractor = ", ".join(f"{name} {value}" for name, value in side.record["extractor"].items())
    return f"{short_count(side.stats.n)} pictures of {path}, resize {side.record['resize']}, extractor {extractor}{few}"
