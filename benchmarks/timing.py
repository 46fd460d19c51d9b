"""Times of several calls that take turns, so that a noisy machine is noisy to all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch


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


def synchronize(device: str) -> None:
    """Wait for the device's queue."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
