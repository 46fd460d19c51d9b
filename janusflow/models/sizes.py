"""Checks of the sizes in a model's configuration, which may come from anybody's file."""

from __future__ import annotations

import math
from typing import Any


def check_whole(config: Any, where: str, *names: str, least: int = 1) -> None:
    """Raise ``ValueError`` for the first of the fields ``names`` that is no whole number of ``least`` or more."""
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{where}.{name} must be a whole number of at least {least}, got {value!r}")


def check_positive(config: Any, where: str, *names: str) -> None:
    """Raise ``ValueError`` for the first of the fields ``names`` that is no number above 0."""
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < math.inf:
            raise ValueError(f"{where}.{name} must be a number above 0, got {value!r}")
