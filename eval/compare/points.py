"""Finished measurements as files, so that a comparison that was interrupted goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Result = dict[str, Any]


def measured(path: Path, protocol: Result, measure: Callable[[], Result]) -> Result:
    """The result in ``path`` where it was measured under this very ``protocol``; else ``measure()``, kept there."""
    found = read(path, protocol)
    if found is None:
        found = measure()
        write(path, {"protocol": protocol, "result": found})
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


def write(path: Path, content: Result) -> None:
    """Write JSON under another name first: a file of the right name is whole. Raises ``ValueError`` where it cannot."""
    unfinished = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}") from error
