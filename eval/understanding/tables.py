"""Rows of benchmark files: tab-separated with pictures inside, and parquet. Errors name the file and the row."""

from __future__ import annotations

import base64
import binascii
import csv
from pathlib import Path
from typing import Any

LONGEST_CELL = 2**31 - 1  # characters; the csv module's own limit is below the size of a picture


def read_tsv(path: Path) -> list[dict[str, str]]:
    """Rows by column name; cells may hold quotes and line breaks, as CSV writes them.

    Raises ``ValueError`` where the file cannot be read or a row has not one cell for every column.
    """
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t", strict=True)
            header = next(reader, [])
            if not header or len(set(header)) != len(header):
                raise ValueError(f"its first line holds no column names, or one twice: {header}")
            rows = []
            for cells in reader:
                if not cells:
                    continue  # a blank line
                if len(cells) != len(header):
                    raise ValueError(f"line {reader.line_num} has {len(cells)} cells for {len(header)} columns")
                rows.append(dict(zip(header, cells, strict=True)))
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    finally:
        csv.field_size_limit(before)
    return rows


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """Rows by column name. Raises ``ValueError`` where the file cannot be read or pyarrow is not installed."""
    from janusflow.data.readers.parquet import open_parquet

    with open_parquet(path) as file:
        rows: list[dict[str, Any]] = file.read().to_pylist()
    return rows


def decode_image(text: str, where: str) -> bytes:
    """A picture file from base64. Raises ``ValueError``, with the row's name ``where``, for anything else."""
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"the image of {where} is no base64: {error}") from error
    if not content:
        raise ValueError(f"{where} has no image")
    return content
