"""Times of calls that take turns, so that a noisy machine is noisy to all; and the file of a benchmark's figures."""

from __future__ import annotations

import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any


def measure(calls: dict[str, Callable[[], object]], repeats: int, device: str) -> dict[str, float]:
    """Median seconds of each call; the calls take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for name in calls:
        calls[name]()
    for _ in range(repeats):
        for name, call in calls.items():
            synchronize(device)
            start = time.perf_counter()
            call()
            synchronize(device)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def store(figures: Mapping[str, Any], path: Path | None) -> None:
    """Write ``figures`` as JSON, with the command and the day, unless ``path`` is None."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        script = Path(sys.argv[0]).resolve()
        command = shlex.join(["python", f"{script.parent.name}/{script.name}", *sys.argv[1:]])
        stored = {**figures, "command": command, "date": date.today().isoformat()}
        path.write_text(json.dumps(stored, indent=2) + "\n")


def synchronize(device: str) -> None:
    """Wait for the device's queue."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()
