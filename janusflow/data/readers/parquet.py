"""Parquet files of images and captions, as the hub keeps data sets: a column of images, and one of captions.

A sample is read at random, but no less than its row group at a time: the hub's groups of 100 rows do well, groups of
many thousand images do not.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from janusflow.data.readers.base import CaptionedImages, Piece, latents_beside, text_list
from janusflow.data.readers.files import expand
from janusflow.pictures import read_image

if TYPE_CHECKING:
    from pyarrow import ChunkedArray
    from pyarrow.parquet import ParquetFile

IMAGE = ("image", "jpg", "png", "webp")  # names of the columns, where none are given, by preference
CAPTION = ("text", "caption", "captions", "txt")


class ParquetReader(CaptionedImages):
    """Files by path, glob, ``{000..127}`` range or URL.

    An image is bytes, or the hub's struct of ``bytes`` and ``path`` (a file beside the parquet file, where the bytes
    are null); a caption is a string or a list of them. Raises ``ValueError`` where a file cannot be read or lacks a
    column, with those that it has.
    """

    @dataclass(kw_only=True)
    class Config(CaptionedImages.Config):
        image_column: str | None = None  # column of the images (default: image, jpg, png or webp) …
        caption_column: str | None = None  # … and of the captions (default: text, caption, captions or txt)

    def __init__(self, config: Config) -> None:
        self.files = expand(config.path)
        self.columns: list[tuple[str, str]] = []
        groups: list[list[int]] = []  # rows of each row group of each file
        for path in self.files:
            with open_parquet(path) as file:
                names = file.schema_arrow.names
                image = find_column(path, names, config.image_column, IMAGE, "image_column")
                caption = (
                    find_column(path, names, config.caption_column, CAPTION, "caption_column")
                    if config.captioned
                    else ""
                )
                self.columns.append((image, caption))
                groups.append([file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)])
        self.group_ends = [np.cumsum(rows, dtype=np.int64) for rows in groups]
        self.ends = np.cumsum([sum(rows) for rows in groups])
        if not len(self):
            raise ValueError(f"{config.path} holds no row")
        super().__init__(config)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def name(self, item: int) -> str:
        file, row = self.place(item)
        return f"{self.files[file].name}/{row}"

    def place(self, item: int) -> tuple[int, int]:
        """The file of an item and its row there, both from 0."""
        file = int(np.searchsorted(self.ends, item, side="right"))
        return file, item - (int(self.ends[file - 1]) if file else 0)

    def pieces(self) -> list[Piece]:
        """A file of latents beside each parquet file."""
        starts = [0, *self.ends[:-1].tolist()]
        items = map(range, starts, self.ends.tolist())
        return [Piece(latents_beside(path), part) for path, part in zip(self.files, items, strict=True)]

    def image(self, item: int) -> Image.Image:
        name, value = self.name(item), self.value(item, 0)
        if isinstance(value, dict):
            path = value.get("path")
            value = value.get("bytes")
            if value is None and isinstance(path, str):
                return read_image(self.files[self.place(item)[0]].parent / path)
        if not isinstance(value, bytes):
            raise ValueError(f"{name} has no image: neither bytes nor a struct of bytes and path, but {value!r:.60}")
        return read_image(io.BytesIO(value), name)

    def captions(self, item: int) -> Sequence[str]:
        value = self.value(item, 1)
        captions = text_list(value)
        if captions is None:
            raise ValueError(f"{self.name(item)} has no caption, but {value!r:.60}")
        return captions

    def value(self, item: int, column: int) -> Any:
        """What stands in an item's row; column: 0 image, 1 caption."""
        file, row = self.place(item)
        ends = self.group_ends[file]
        group = int(np.searchsorted(ends, row, side="right"))
        try:
            values = read_column(self.files[file], group, self.columns[file][column])
            return values[row - (int(ends[group - 1]) if group else 0)].as_py()
        except ValueError as error:  # also of text that is not UTF-8
            raise ValueError(f"{self.name(item)}: {error}") from error


def find_column(path: Path, names: Sequence[str], given: str | None, usual: Sequence[str], setting: str) -> str:
    """The column called ``given``, or as is usual. Raises ``ValueError`` where there is none."""
    found = next((name for name in ([given] if given else usual) if name in names), None)
    if found is None:
        wanted = given or " or ".join(usual)
        raise ValueError(f"{path} has no column {wanted}, only {', '.join(names)}: name it with {setting}")
    return found


@lru_cache(maxsize=4)  # images and captions of two row groups
def read_column(path: Path, group: int, column: str) -> ChunkedArray:
    """A column of a row group. Raises ``ValueError`` where it cannot be read."""
    with open_parquet(path) as file:
        return file.read_row_group(group, columns=[column], use_threads=False).column(0)


@contextmanager
def open_parquet(path: Path) -> Iterator[ParquetFile]:
    """A parquet file to read. Raises ``ValueError`` where that fails, also later, or where pyarrow is not installed."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ValueError(
            f"{path} is read with pyarrow, which is not installed: pip install janusflow[parquet]"
        ) from error
    try:
        with ParquetFile(path) as file:  # not read_table, which takes folder names such as "a=b" for columns
            yield file
    except (OSError, ArrowException) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
