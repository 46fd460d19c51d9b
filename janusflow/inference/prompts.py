"""Files of prompts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Prompt = Mapping[str, Any]  # its text as "prompt", and whatever else its source knows of it


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts of a file: a line each, or mappings with a ``"prompt"`` in a .jsonl file.

    Raises ``ValueError`` with path and line where there are none.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # in JSON other characters that break lines may stand
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read the prompts {path}: {error}") from error
    prompts = [
        _prompt(path, number, line) if path.suffix == ".jsonl" else {"prompt": line.strip()}
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if not prompts:
        raise ValueError(f"{path} holds no prompts")
    return prompts


def _prompt(path: Path, number: int, line: str) -> Prompt:
    try:
        prompt = json.loads(line)
        if not isinstance(prompt["prompt"], str):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}, line {number}: this holds no prompt: {line[:60]!r}") from None
    return prompt
