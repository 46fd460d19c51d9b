"""Pairs of noise and latents that ``janusflow pairs`` stored: a teacher's drawings, with where each began."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from janusflow.data.latents import LatentCache
from janusflow.data.pieces import split
from janusflow.data.readers.base import FilesConfig, Reader
from janusflow.data.sample import GenerationSample

LISTING = "pairs.jsonl"
PIECE = 4096  # pairs in a file


class PairsReader(Reader):
    """A folder of pairs. Raises ``ValueError`` with path and line where it is missing, unfinished or damaged."""

    class Config(FilesConfig):
        pass

    tasks = ("generation",)
    latents: LatentCache

    def __init__(self, config: FilesConfig) -> None:
        folder = Path(config.path)
        self.pairs = read_listing(folder / LISTING)
        self.latents = LatentCache([piece.path for piece in split(len(self.pairs), PIECE, folder)])

    def __len__(self) -> int:
        return len(self.pairs)

    def generation(self, item: int, rng: np.random.Generator) -> GenerationSample:
        """A prompt with the latents and the seed of the noise that they began as; there is no picture."""
        pair = self.pairs[item]
        return GenerationSample(None, pair["prompt"], self.latents[f"{item:08d}"], pair["seed"])


def read_listing(path: Path) -> list[dict[str, Any]]:
    """Prompts and seeds. Raises ``ValueError`` where the file is missing or damaged."""
    try:
        lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read the pairs {path}: {error}") from error
    pairs = []
    for number, line in enumerate(lines, 1):
        try:
            pair = json.loads(line)
            if not (isinstance(pair["prompt"], str) and isinstance(pair["seed"], int)):
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path}, line {number}: no prompt with a seed: {line[:60]!r}") from None
        pairs.append(pair)
    return pairs
