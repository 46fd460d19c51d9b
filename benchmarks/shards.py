"""Memory that the samples of many shards take in a process, and the time to open them and to reach one.

    python benchmarks/shards.py --shards 100 --samples 10000

The shards hold empty images with captions, so that nothing but finding them is measured.
"""

from __future__ import annotations

import argparse
import io
import pickle
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np

from janusflow.data.config import source_config
from janusflow.data.readers import files
from janusflow.data.sources import open_reader


def main() -> None:
    """Print bytes a sample, and seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--samples", type=int, default=10_000, help="in a shard")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files.CONTENTS = Path(folder) / "contents"
        write_shard(Path(folder) / "00000.tar", args.samples)
        for number in range(1, args.shards):
            (Path(folder) / f"{number:05d}.tar").hardlink_to(Path(folder) / "00000.tar")
        config = source_config("webdataset", path=f"{folder}/{{00000..{args.shards - 1:05d}}}.tar")
        for case in ("first", "again"):
            memory, start = anonymous_memory(), time.perf_counter()
            reader = open_reader(config)
            seconds, count = time.perf_counter() - start, len(reader)  # type: ignore[arg-type]
            grown = anonymous_memory() - memory
            print(f"opened {case}: {count:,} samples, {seconds:.2f} s, {grown / count:.1f} bytes a sample in memory")
        print(f"passed to a worker: {len(pickle.dumps(reader)) / count:.1f} bytes a sample")
        kept = sum(path.stat().st_size for path in files.CONTENTS.iterdir())
        print(f"kept in files: {kept / count:.1f} bytes a sample")
        items = np.random.default_rng(0).integers(count, size=20_000).tolist()
        start = time.perf_counter()
        for item in items:
            reader.name(item)  # type: ignore[attr-defined]
        print(f"a random sample is found in {(time.perf_counter() - start) / len(items) * 1e6:.0f} µs")


def write_shard(path: Path, samples: int) -> None:
    """Samples with keys of nine digits, each of an image, a caption and a JSON object."""
    with tarfile.open(path, "w") as tar:
        for number in range(samples):
            for extension in ("jpg", "txt", "json"):
                member = tarfile.TarInfo(f"{number:09d}.{extension}")
                member.size = 2
                tar.addfile(member, io.BytesIO(b"{}"))


def anonymous_memory() -> int:
    """Bytes of this process's own memory; what is mapped from files is shared and not counted."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) * 1024


if __name__ == "__main__":
    main()
