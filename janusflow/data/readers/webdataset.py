"""WebDataset shards: tar files whose members ``KEY.jpg``, ``KEY.txt``, ``KEY.json`` make one sample.

A caption is the text file, else the JSON's ``caption`` or ``captions``; ``conversations`` in the JSON, as LLaVA writes
them, are understanding samples. Members are read at random from their offsets, which :mod:`.shards` keeps.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from janusflow.data.latents import LatentCache
from janusflow.data.readers.base import CaptionedImages, Piece, latents_beside
from janusflow.data.readers.conversations import read_turns
from janusflow.data.readers.files import expand
from janusflow.data.readers.shards import IMAGES, Entry, Shards
from janusflow.data.sample import DocumentSample, UnderstandingSample, Unwanted
from janusflow.pictures import read_image


class WebDatasetReader(CaptionedImages):
    """Shards by path, glob, ``{000..127}`` range or URL.

    min_score: least value of the JSON's field ``score_field``, an aesthetic score for instance; samples below it or
    without one are left out. Raises ``ValueError`` where a shard is missing or no tar file.
    """

    def __init__(
        self,
        pattern: str,
        min_side: int = 0,
        score_field: str | None = None,
        min_score: float = 0.0,
        cached_latents: bool = False,
    ) -> None:
        shards = expand(pattern)
        super().__init__(min_side, LatentCache([latents_beside(shard) for shard in shards]) if cached_latents else None)
        self.score_field, self.min_score = score_field, min_score
        self.entries = Shards(shards)
        if not len(self.entries):
            raise ValueError(f"{pattern} holds no image")

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
        captions = values.get("captions", values.get("caption"))
        captions = [captions] if isinstance(captions, str) else captions
        if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
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
