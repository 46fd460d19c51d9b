"""WebDataset shards: tar files whose members ``KEY.jpg``, ``KEY.txt``, ``KEY.json`` make one sample.

A caption is the text file, else the JSON's ``caption`` or ``captions``; ``conversations`` in the JSON, as LLaVA writes
them, are understanding samples. Members are read at random from their offsets. What a shard holds is a table, made
once, kept in the cache folder and mapped into memory: processes hold a number for each shard and nothing for a sample,
of which a table has 25 bytes and its key.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from janusflow.data.readers.base import CaptionedImages, Piece, latents_beside, text_list
from janusflow.data.readers.conversations import read_turns
from janusflow.data.readers.files import KeptArray, expand, progress_bar
from janusflow.data.sample import DocumentSample, UnderstandingSample, Unwanted
from janusflow.pictures import read_image

IMAGES = ("jpg", "jpeg", "png", "webp")  # of several images of a sample the first in this order is taken
TEXTS = ("txt", "json")
BLOCK = 512  # bytes; contents in a tar file begin at multiples of it
SCANS = 4  # shards scanned at once

Members = dict[str, tuple[int, int]]  # offset and size in bytes, by extension


class WebDatasetReader(CaptionedImages):
    """Shards by path, glob, ``{000..127}`` range or URL. Raises ``ValueError`` where one is missing or no tar file."""

    @dataclass(kw_only=True)
    class Config(CaptionedImages.Config):
        score_field: str | None = None  # field of the JSON with a score, an aesthetic one for instance …
        min_score: float = 0.0  # … and its least value: samples below it or without one are left out

    def __init__(self, config: Config) -> None:
        self.score_field, self.min_score = config.score_field, config.min_score
        self.entries = Shards(expand(config.path))
        if not len(self.entries):
            raise ValueError(f"{config.path} holds no image")
        super().__init__(config)

    def __len__(self) -> int:
        return len(self.entries)

    def name(self, item: int) -> str:
        return self.entries[item].name

    def image(self, item: int) -> Image.Image:
        entry = self.entries[item]
        self.check_score(item)
        extension = next(extension for extension in IMAGES if extension in entry.members)
        return read_image(io.BytesIO(self.member(entry, extension)), f"{entry.name}.{extension}")

    def captions(self, item: int) -> Sequence[str]:
        entry = self.entries[item]
        if "txt" in entry.members:
            try:
                return [self.member(entry, "txt").decode()]
            except UnicodeDecodeError as error:
                raise ValueError(f"{entry.name}.txt is not UTF-8: {error}") from error
        values = self.values(entry)
        captions = text_list(values.get("captions", values.get("caption")))
        if captions is None:
            raise ValueError(f"{entry.name} has no caption")
        return captions

    def pieces(self) -> list[Piece]:
        """A file of latents beside each shard."""
        shards = self.entries.paths
        return [Piece(latents_beside(shard), self.entries.items(number)) for number, shard in enumerate(shards)]

    def understanding(self, item: int, rng: np.random.Generator) -> UnderstandingSample | DocumentSample:
        """The sample's conversation if it has one, else a request for its caption."""
        entry = self.entries[item]
        turns = self.values(entry).get("conversations") if "json" in entry.members else None
        if turns is None:
            return super().understanding(item, rng)
        return UnderstandingSample([self.fitting_image(item)], read_turns(turns, 1, entry.name))

    def check_score(self, item: int) -> None:
        """Raise :class:`Unwanted` where the sample's score is below the least or missing."""
        if self.score_field is None:
            return
        entry = self.entries[item]
        score = self.values(entry).get(self.score_field)
        if not isinstance(score, int | float) or not score >= self.min_score:
            raise Unwanted(f"{entry.name} has {self.score_field} {score}, below {self.min_score}")

    def values(self, entry: Entry) -> dict[str, Any]:
        """The sample's JSON; empty where it has none."""
        if "json" not in entry.members:
            return {}
        try:
            values = json.loads(self.member(entry, "json"))
        except ValueError as error:
            raise ValueError(f"{entry.name}.json: {error}") from error
        if not isinstance(values, dict):
            raise ValueError(f"{entry.name}.json is not a JSON object")
        return values

    def member(self, entry: Entry, extension: str) -> bytes:
        """The bytes of one member."""
        offset, size = entry.members[extension]
        try:
            with entry.shard.open("rb") as file:
                file.seek(offset)
                content = file.read(size)
        except OSError as error:
            raise ValueError(f"cannot read {entry.shard}: {error.strerror}") from error
        if len(content) != size:
            raise ValueError(f"{entry.name}.{extension} is cut off: {entry.shard} has changed or is truncated")
        return content


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
