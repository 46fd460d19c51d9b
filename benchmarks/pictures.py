"""Pictures a second of the feature pipeline against clean-fid's: files to what the network takes, and to features.

``python benchmarks/pictures.py PHOTOS`` writes pictures made of a folder's photographs, 1,024-px JPEG and 384-px PNG,
to a temporary folder. Both sides read them for both protocols (``clean``, and GigaGAN's by the same function), for a
network that takes no time. clean-fid runs with as many workers as ours, without, and as its users call it (12). Sides
take turns, and their features must be equal bit for bit. Processor time, the workers' too, says what wall-clock time on
a shared machine cannot.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cleanfid.fid import get_files_features
from PIL import Image
from timing import store
from torch import Tensor, nn

from eval.features.extractors import TorchScriptExtractor
from eval.features.images import ImageFiles
from eval.features.reference import compute_features
from eval.features.resizing import RESIZES

SETS: dict[str, tuple[int, str, dict[str, Any]]] = {
    "1,024-px JPEG": (1024, "jpg", {"quality": 90}),
    "384-px PNG": (384, "png", {}),
}
THEIR_WORKERS = 12  # clean-fid's default


class Quarters(nn.Module):
    """(B, 3, S, S) -> (B, 12): means of the picture's quarters."""

    def forward(self, pixels: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(pixels, 2).flatten(1) / 128 - 1


def write(folder: Path, photos: list[Path], size: int, suffix: str, options: dict[str, Any], count: int) -> list[str]:
    """Squares of photographs, again and again; their paths."""
    folder.mkdir()
    paths = [folder / f"{index:05d}.{suffix}" for index in range(count)]
    for index, path in enumerate(paths):
        with Image.open(photos[index % len(photos)]) as photo:
            square = photo.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
        square.rotate(90 * (index // len(photos))).save(path, **options)
    return [str(path) for path in paths]


def ours(paths: list[str], extractor: TorchScriptExtractor, resize: str, workers: int) -> np.ndarray:
    """As ``python -m eval fid``, from nothing that is kept."""
    files = ImageFiles(Path(paths[0]).parent)
    with tempfile.TemporaryDirectory() as folder:
        return np.array(compute_features(Path(folder) / "pieces", files, files.names, extractor, resize, workers))


def theirs(paths: list[str], extractor: TorchScriptExtractor, resize: str, workers: int) -> np.ndarray:
    """As ``cleanfid.fid.compute_fid`` calls it."""

    def first(array: np.ndarray) -> np.ndarray:
        return np.asarray(RESIZES[resize](Image.fromarray(array)))

    features: np.ndarray = get_files_features(
        paths,
        extractor.network,
        num_workers=workers,
        device=torch.device("cpu"),
        verbose=False,
        custom_image_tranform=None if resize == "clean" else first,
    )
    return features


def spent() -> float:
    """Processor seconds of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in usages)


def compare(calls: dict[str, Callable[[], np.ndarray]], count: int, repeats: int) -> dict[str, dict[str, float]]:
    """Pictures a second, and processor milliseconds a picture, of calls that take turns: medians."""
    walls: dict[str, list[float]] = {name: [] for name in calls}
    processors: dict[str, list[float]] = {name: [] for name in calls}
    expected = None
    for _ in range(repeats):
        for name, call in calls.items():
            before, start = spent(), time.perf_counter()
            found = call()
            walls[name].append(count / (time.perf_counter() - start))
            processors[name].append(1000 * (spent() - before) / count)
            expected = found if expected is None else expected
            if not np.array_equal(found, expected):
                raise SystemExit(f"the features of {name} are others: the times do not compare")
    return {
        name: {
            "pictures_a_second": round(statistics.median(walls[name]), 1),
            "least": round(min(walls[name]), 1),
            "most": round(max(walls[name]), 1),
            "processor_ms_a_picture": round(statistics.median(processors[name]), 1),
        }
        for name in calls
    }


def compared(figures: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """How many times as many pictures we take as each of the others, by wall-clock time and by processor time."""
    mine = figures["ours"]
    return {
        name: {
            "wall": round(mine["pictures_a_second"] / one["pictures_a_second"], 2),
            "processor": round(one["processor_ms_a_picture"] / mine["processor_ms_a_picture"], 2),
        }
        for name, one in figures.items()
        if name != "ours"
    }


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and store the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="folder of photographs")
    parser.add_argument("--count", type=int, default=256, help="pictures of each kind")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2, help="our processes that read and resize")
    parser.add_argument("--note", default="", help="what else the machine was doing")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    args = parser.parse_args(argv)
    warnings.filterwarnings("ignore", category=FutureWarning)  # TorchScript's
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    photos = [args.photos / name for name in ImageFiles(args.photos).names]
    figures: dict[str, dict[str, dict[str, float]]] = {}
    ratios: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = {name: write(folder / name, photos, *kind, args.count) for name, kind in SETS.items()}
        torch.jit.script(Quarters()).save(str(folder / "network.pt"))
        extractor = TorchScriptExtractor(folder / "network.pt")
        for kind, resize in [(kind, resize) for kind in SETS for resize in RESIZES]:
            calls: dict[str, Callable[[], np.ndarray]] = {
                "ours": partial(ours, paths[kind], extractor, resize, args.workers)
            }
            for workers in (args.workers, 0, THEIR_WORKERS):
                calls[f"clean-fid, {workers} workers"] = partial(theirs, paths[kind], extractor, resize, workers)
            label = f"{kind}, {resize}"
            figures[label] = compare(calls, args.count, args.repeats)
            ratios[label] = compared(figures[label])
            print(label, json.dumps(figures[label], indent=1), json.dumps(ratios[label]), flush=True)
    libraries = {name: version(name) for name in ("clean-fid", "pillow", "torch", "numpy")}
    report = {
        "pictures": args.count,
        "repeats": args.repeats,
        "workers": args.workers,
        "medians": figures,
        "ours_over_clean_fid": ratios,
        "note": args.note,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        **libraries,
    }
    store(report, args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
