"""Seconds and memory of an FID's arithmetic: ours, streamed, against clean-fid's (NumPy's cov, SciPy's sqrtm).

``python benchmarks/fid.py`` (on Linux) writes two sets of random features of FID-30k's size to a temporary folder, and
computes their distance in a fresh process for each side; a third computes all of a task's scores: the distance, KID,
precision and recall (``--skip-scores``: not). It stops where the distances differ by more than clean-fid's
means in float32 explain. Figures are of one run; ratios are theirs over ours.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy
from timing import store

from eval.features.frechet import GaussianStats, _eigen_factor, _factor, frechet_distance
from eval.features.reference import Reference
from eval.fid.score import Naming, quality_scores

SIDES = ("ours", "clean-fid")
SCORES = "all scores"
SETS = ("generated.npy", "real.npy")
TOLERANCE = 1e-3


def peak_gib() -> float:
    """The highest resident memory of this process so far."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**20


def write(folder: Path, rows: int, width: int) -> None:
    """Two sets of features (rows, width) float32: correlated, at least 0 like Inception's, variances far apart."""
    for seed, name in enumerate(SETS):
        rng = np.random.default_rng([seed, 1])
        mixing = np.random.default_rng(0).normal(size=(64, width)).astype(np.float32) / 8
        scales = np.geomspace(1, 1e-2, width, dtype=np.float32)
        features = np.lib.format.open_memmap(folder / name, "w+", np.float32, (rows, width))
        for start in range(0, rows, 1000):
            count = min(1000, rows - start)
            latent = rng.normal(size=(count, 64)).astype(np.float32) @ mixing
            features[start : start + count] = np.abs(latent + rng.normal(size=(count, width)) + seed / 10) * scales
        features.flush()


def ours(folder: Path, batch: int) -> dict[str, float]:
    """In batches, as a run delivers them."""
    start = time.perf_counter()
    sides = []
    for name in SETS:
        features = np.load(folder / name, mmap_mode="r")
        stats = GaussianStats(features.shape[1])
        for first in range(0, len(features), batch):
            stats.update(np.array(features[first : first + batch]))
        sides.append(stats)
    middle = time.perf_counter()
    distance = frechet_distance(*sides)
    end = time.perf_counter()
    peak = peak_gib()
    seconds = {}
    for name, factor in (("factor_s", _factor), ("factor_by_eigenvectors_s", _eigen_factor)):
        begin = time.perf_counter()
        factor(sides[0].cov)
        seconds[name] = time.perf_counter() - begin
    figures = {"statistics_s": middle - start, "distance_s": end - middle, "distance": distance, "peak_gib": peak}
    return figures | seconds


def clean_fid(folder: Path) -> dict[str, float]:
    """As clean-fid does, which calls ``sqrtm`` by an argument that newer SciPy has not."""
    start = time.perf_counter()
    sides = []
    for name in SETS:
        features = np.load(folder / name)
        sides.append((np.mean(features, axis=0), np.cov(features, rowvar=False)))
    middle = time.perf_counter()
    (m1, c1), (m2, c2) = sides
    root = scipy.linalg.sqrtm(c1.dot(c2))
    distance = float((m1 - m2) @ (m1 - m2) + np.trace(c1) + np.trace(c2) - 2 * np.trace(root).real)
    end = time.perf_counter()
    return {"statistics_s": middle - start, "distance_s": end - middle, "distance": distance, "peak_gib": peak_gib()}


def all_scores(folder: Path) -> dict[str, float]:
    """The scores of ``mjhq-fid`` and ``coco-fid`` but for the categories', from features on disk."""
    start = time.perf_counter()
    generated, real = (np.load(folder / name, mmap_mode="r") for name in SETS)
    reference = Reference(GaussianStats.of(real), real, None, {})
    found = quality_scores(generated, reference, Naming("benchmark", "random", is_inception=True))
    scores = {name: value for name, value in found.items() if value is not None}
    return {"seconds": time.perf_counter() - start, "peak_gib": peak_gib(), **scores}


def measure(folder: Path, side: str, args: argparse.Namespace) -> dict[str, float]:
    """One side's figures, from a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder), "--batch", str(args.batch)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout)


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and store the figures if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=4096, help="rows that arrive together, on our side")
    parser.add_argument("--skip-scores", action="store_true", help="only the distance")
    parser.add_argument("--note", default="", help="what else the machine was doing")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--side", choices=(*SIDES, SCORES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.side:
        before = peak_gib()
        sides = {"ours": lambda folder: ours(folder, args.batch), "clean-fid": clean_fid, SCORES: all_scores}
        figures = sides[args.side](args.folder)
        print(json.dumps({**figures, "imports_gib": before}))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        write(Path(temporary), args.rows, args.width)
        found = {side: measure(Path(temporary), side, args) for side in SIDES}
        scores = None if args.skip_scores else measure(Path(temporary), SCORES, args)
    difference = abs(found["ours"]["distance"] / found["clean-fid"]["distance"] - 1)
    if difference > TOLERANCE:
        raise SystemExit(f"the distances differ by {difference:.1e}: the times do not compare")
    keys = ("statistics_s", "distance_s", "peak_gib")
    ratios = {key: round(found["clean-fid"][key] / found["ours"][key], 2) for key in keys}
    report = {
        "features": [args.rows, args.width],
        "batch": args.batch,
        "sides": {side: {key: round(value, 6) for key, value in figures.items()} for side, figures in found.items()},
        SCORES: scores and {key: round(value, 6) for key, value in scores.items()},
        "clean_fid_over_ours": ratios,
        "relative_difference": float(f"{difference:.1e}"),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "note": args.note,
        "machine": platform.machine(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
    print(json.dumps(report, indent=2))
    store(report, args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
