"""``janusflow measure-codec``: how much of pictures an image codec keeps, and the statistics of its latents."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from janusflow.command_line import find_device
from janusflow.model_flags import DEVICE

if TYPE_CHECKING:
    from janusflow.data.config import SourceConfig

CODEC = "image codec: folder, hub id or TAESD file; the run's parts.vae or parts.vq"
IMAGES = "folder of captioned images; or .tar shards or .parquet files, by path, glob, {000..127} range or URL"


def add_measuring(commands: Any) -> None:
    """Add ``measure-codec``."""
    parser = commands.add_parser(
        "measure-codec",
        help="note what an image codec keeps of pictures, and each latent channel's mean and deviation",
        description="Send pictures through an image codec. Into its folder go their PSNR (card.json), which stands "
        "beside every score of a model that draws with it, and each channel's mean and standard deviation "
        "(statistics.json), which heads with latents=normalized take their latents by.",
    )
    parser.set_defaults(run=run_measuring)
    parser.add_argument("path", nargs="?", help=f"{IMAGES}; or --cast")
    parser.add_argument("--cast", help="training scenes of a world instead: shapes or objects")
    parser.add_argument("--level", default="free", help="how the things of --cast are placed: free or fixed")
    parser.add_argument("--vae", required=True, help=CODEC)
    parser.add_argument("--size", type=int, default=384, help="pixels of a side; the run's data.image_size")
    parser.add_argument("--count", type=int, default=1024, help="pictures, at most")
    parser.add_argument("--batch-size", type=int, default=8, help="pictures that pass together")
    parser.add_argument("--out", type=Path, help="write the codec there, with what is noted (default: into its folder)")
    parser.add_argument("--device", help=DEVICE)


def run_measuring(args: argparse.Namespace) -> int:
    """Measure, print and note."""
    for flag in ("size", "count", "batch_size"):
        if getattr(args, flag) < 1:
            raise ValueError(f"--{flag.replace('_', '-')} must be at least 1, got {getattr(args, flag)}")
    if (args.path is None) == (args.cast is None):
        raise ValueError("give the pictures: a path, or --cast")
    folder = args.out or Path(args.vae)
    if args.out is None and not (folder / "config.json").exists():
        raise ValueError(f"{args.vae} is no codec's folder to note figures in: give --out")
    from janusflow.checkpoints.codecs import load_codec
    from janusflow.codecs.beside import write_reconstructions, write_statistics
    from janusflow.data.measure import measure, source_pictures, world_pictures
    from janusflow.progress import progress_bar
    from janusflow.worlds.scenes import World

    codec = load_codec(args.vae).to(find_device(args.device))
    if args.cast is not None:
        world = World(args.cast, args.level)
        name, pictures = f"{world}, training scenes", world_pictures(world, args.size)
    else:
        name, pictures = Path(args.path).name or args.path, source_pictures(images_at(args.path))
    with progress_bar("measuring", "picture") as progress:
        found = measure(codec, pictures, args.count, args.size, args.batch_size, progress)
    if args.out is not None:
        codec.save(folder)
    where = f"{name}, {args.size} pixels"
    write_reconstructions(folder, {where: {"psnr_db": round(found.psnr_db, 3), "pictures": found.pictures}})
    print(f"{where}: PSNR {found.psnr_db:.2f} dB over {found.pictures} pictures")
    if found.statistics is not None:
        write_statistics(folder, found.statistics)
        means, stds = (value.tolist() for value in found.statistics)
        for number, (mean, std) in enumerate(zip(means, stds, strict=True)):
            print(f"channel {number}: mean {mean:.4f}, standard deviation {std:.4f}")
    return 0


def images_at(path: str, image_column: str | None = None, caption_column: str | None = None) -> SourceConfig:
    """The source of images that a command line names, which asks for no captions."""
    from janusflow.data.config import source_config

    kind: Literal["folder", "parquet", "webdataset"] = "parquet" if path.endswith(".parquet") else "webdataset"
    kind = "folder" if Path(path).is_dir() else kind
    given = {"image_column": image_column, "caption_column": caption_column}
    columns = {key: value for key, value in given.items() if value is not None}
    return source_config(kind, path=path, tasks=["reconstruction"], **columns)
