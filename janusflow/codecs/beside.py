"""What stands beside a codec's weights: the statistics of its latents, and how much of pictures it keeps.

``statistics.json`` has each channel's mean and standard deviation over the latents of a data source;
``card.json`` the codec's own reconstruction of pictures, by where they come from. Models that draw in its latents
cannot be expected to do better than that.

Legend: C latent channels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from janusflow.weights import read_json_object, writing

STATISTICS, CARD = "statistics.json", "card.json"
RECONSTRUCTIONS = "reconstructions"
MEASURE = "janusflow measure-codec PICTURES --vae CODEC --size PIXELS"
Latents = Literal["scaled", "normalized"]  # how a VAE's latents come to about unit variance: by its own factors, or
# (z - mean) / std of each channel, as its statistics say
Figures = dict[str, dict[str, float]]


class Statistics(NamedTuple):
    """Of each channel of a VAE's latents, before any factor: (C,) in fp32."""

    mean: Tensor
    std: Tensor


def read_statistics(folder: Path, channels: int) -> Statistics | None:
    """The statistics in a codec's folder; None where there are none. Raises ``ValueError`` where they are damaged."""
    path = folder / STATISTICS
    if not path.exists():
        return None
    values = read_json_object(path)
    for name in Statistics._fields:
        found = values.get(name)
        numbers = found if isinstance(found, list) else []
        if len(numbers) != channels or not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
            raise ValueError(f"{path}: {name} must be {channels} numbers, got {found!r}")
    if min(values["std"]) <= 0:
        raise ValueError(f"{path}: std must be above 0, got {min(values['std'])}")
    return Statistics(*(torch.tensor(values[name], dtype=torch.float32) for name in Statistics._fields))


def write_statistics(folder: Path, statistics: Statistics) -> None:
    """Write ``statistics.json``."""
    values = {name: value.tolist() for name, value in statistics._asdict().items()}
    with writing(f"the statistics of {folder}"):
        (folder / STATISTICS).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def read_reconstructions(folder: Path) -> Figures:
    """How a codec's folder says that it reconstructs: the card of its parent under its name, and over it its own card.

    A card that is damaged, or of something else, says nothing.
    """
    found: Figures = {}
    for entry in (_card(folder.parent / CARD).get(folder.name), _card(folder / CARD)):
        noted = entry.get(RECONSTRUCTIONS) if isinstance(entry, dict) else None
        if isinstance(noted, dict) and all(isinstance(one, dict) for one in noted.values()):
            found |= noted
    return found


def write_reconstructions(folder: Path, found: Mapping[str, Mapping[str, float]]) -> None:
    """Add figures to a codec's own card."""
    card = _card(folder / CARD)
    card[RECONSTRUCTIONS] = {**read_reconstructions(folder), **{name: dict(one) for name, one in found.items()}}
    with writing(f"the card of {folder}"):
        (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _card(path: Path) -> dict[str, Any]:
    try:
        return read_json_object(path, required=False)
    except ValueError:
        return {}
