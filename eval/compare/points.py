"""Finished measurements as files, so that a comparison that was interrupted goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eval.store import write_json

Result = dict[str, Any]


def measured(path: Path, protocol: Result, measure: Callable[[], Result]) -> Result:
    """The result in ``path`` where it was measured under this very ``protocol``; else ``measure()``, kept there."""
    found = read(path, protocol)
    if found is None:
        found = measure()
        write_json(path, {"protocol": protocol, "result": found})
    return found


def read(path: Path, protocol: Result) -> Result | None:
    """The result in ``path``; None where there is none, it is damaged, or its protocol is another."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("protocol") != json.loads(json.dumps(protocol)):
        return None
    return content.get("result")
