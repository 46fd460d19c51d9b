"""What run folders recorded while they trained: scores in one table, losses in one plot. Nothing is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.compare.contestants import Contestant
from eval.compare.run import draw_losses
from eval.shapes.benchmark import SPLITS
from eval.shapes.report import comparison_table
from janusflow.weights import read_json_object

PAGE = "recorded.md"
OWN = {PAGE, "losses.png"}  # what may be written over


def write_recorded(contestants: Sequence[Contestant], folder: Path) -> tuple[list[str], list[Path]]:
    """Write the table and the plot into ``folder``, over earlier ones; returns the table's lines and the plot's file.

    Raises ``ValueError`` for a run folder that is missing, damaged scores, and a folder that holds anything else.
    """
    scores = read_scores(contestants)
    if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - OWN):
        raise ValueError(f"{folder} holds something else than recorded scores: choose another --out")
    table = comparison_table(scores) if scores else []
    lines = ["# Recorded scores", "", "In distribution / held out.", "", *table]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "losses.png").unlink(missing_ok=True)
        pictures = list(draw_losses(folder, contestants).values())
        if pictures:
            lines += ["", "![Training losses, smoothed](losses.png)"]
        (folder / PAGE).write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot write into {folder}: {error.strerror or error}") from error
    return table, pictures


def read_scores(contestants: Sequence[Contestant]) -> dict[str, dict[str, Any]]:
    """The ``scores.json`` of the run folders that have any, by name, and by folder where a model has several."""
    scores = {}
    for name, paths in contestants:
        for path in paths:
            if not Path(path).is_dir():
                raise ValueError(f"no run folder at {path}")
            file = Path(path) / "scores.json"
            found = read_json_object(file, required=False)
            if not all(isinstance(found.get(split), dict) for split in SPLITS if found):
                raise ValueError(f"{file} does not hold the scores of {' and '.join(SPLITS)}")
            if found:
                scores[name if len(paths) == 1 else f"{name}: {Path(path).name}"] = found
    return scores
