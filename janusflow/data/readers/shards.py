"""What tar shards hold, compactly: a table for each, made once, kept in the cache folder and mapped into memory.

Processes hold a number for each shard and nothing for a sample, of which a table has 25 bytes and its key.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from janusflow.data.readers.files import KeptArray, progress_bar

IMAGES = ("jpg", "jpeg", "png", "webp")  # of several images of a sample the first in this order is taken
TEXTS = ("txt", "json")
BLOCK = 512  # bytes; contents in a tar file begin at multiples of it
SCANS = 4  # shards scanned at once

Members = dict[str, tuple[int, int]]  # offset and size in bytes, by extension


class Entry(NamedTuple):
    """A sample of a shard: its key, and offset and size of its image and texts by extension."""

    shard: Path
    key: str
    members: Members

    @property
    def name(self) -> str:
        return f"{self.shard.name}/{self.key}"


class Shards:
    """The samples with an image of several shards, in order. Raises ``ValueError`` where one is no whole tar file."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)
        self.tables: list[KeptArray] = []
        with progress_bar("looking through shards", "shard", len(paths)) as bar, ThreadPoolExecutor(SCANS) as pool:
            for table in pool.map(lambda path: KeptArray(path, scan, ".tar.npy"), paths):
                self.tables.append(table)
                bar.update()
        self.ends = np.cumsum([len(table) for table in self.tables])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, item: int) -> Entry:
        """A sample. Raises ``ValueError`` where its shard's table is needed anew and the shard has changed."""
        shard = int(np.searchsorted(self.ends, item, side="right"))
        return read_entry(self.paths[shard], self.tables[shard].array[item - self.items(shard).start])

    def items(self, shard: int) -> range:
        """The numbers of a shard's samples."""
        return range(int(self.ends[shard - 1]) if shard else 0, int(self.ends[shard]))


def scan(shard: Path) -> np.ndarray:
    """The table of a shard. Raises ``ValueError`` where it is no whole tar file."""
    samples: dict[str, Members] = {}
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                folder, _, file = member.name.rpartition("/")
                stem, _, extension = file.partition(".")
                if member.isfile() and stem and extension.lower() in (*IMAGES, *TEXTS):
                    key = f"{folder}/{stem}" if folder else stem
                    samples.setdefault(key, {})[extension.lower()] = (member.offset_data, member.size)
                tar.members = []  # type: ignore[attr-defined]  # or it would keep them all
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ValueError(f"{shard} is not a whole tar file: {error}") from error
    return as_table(shard, {key: members for key, members in samples.items() if not members.keys().isdisjoint(IMAGES)})


def as_table(shard: Path, samples: dict[str, Members]) -> np.ndarray:
    """A row for each sample. Raises ``ValueError`` where a member is larger than a row can say."""
    keys = [key.encode(errors="surrogateescape") for key in samples]
    columns = [(name, np.uint32, 2) for name in ("image", *TEXTS)]  # in blocks, and size in bytes; (0, 0) is none
    width = max(map(len, keys), default=1)
    table = np.zeros(len(keys), [("key", f"S{width}"), ("format", np.uint8), *columns])
    for row, key, members in zip(table, keys, samples.values(), strict=True):
        image = next(extension for extension in IMAGES if extension in members)
        row["key"], row["format"] = key, IMAGES.index(image)
        for name, extension in {"image": image, **dict(zip(TEXTS, TEXTS, strict=True))}.items():
            offset, size = members.get(extension, (0, 0))
            if size >= 1 << 32:
                raise ValueError(f"{shard.name}/{key.decode()}.{extension} is larger than 4 GiB")
            row[name] = (offset // BLOCK, size)
    return table


def read_entry(shard: Path, row: np.void) -> Entry:
    """A row of a shard's table."""
    members = {IMAGES[row["format"]]: row["image"], **{text: row[text] for text in TEXTS}}
    places = {extension: (int(place[0]) * BLOCK, int(place[1])) for extension, place in members.items() if place[0]}
    return Entry(shard, row["key"].decode(errors="surrogateescape"), places)
