"""How far a run is: one table on a terminal; without one, a line a minute at most."""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_only
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from tqdm import tqdm

from janusflow.progress import terminal
from janusflow.training.metrics import Meter
from janusflow.training.module import UnifiedModule
from janusflow.training.stages import StageConfig

REFRESH = 0.25  # seconds between two looks of the table
LINE_EVERY = 60.0  # seconds between lines where there is no terminal
BARS = "▁▂▃▄▅▆▇█"
CURVE = 32  # columns of a curve


class StageProgress(L.Callback):
    """The steps of stage ``name``, what is left of it and of the whole run, and the losses that ``meter`` measured.

    What is left counts samples: those of later stages are taken to be as fast as this one's.
    """

    def __init__(self, stages: dict[str, StageConfig], name: str, meter: Meter) -> None:
        self.stages, self.name, self.stage, self.meter = stages, name, stages[name], meter
        self.place = list(stages).index(name)
        behind = list(stages.values())[self.place + 1 :]
        self.later = sum(stage.steps * stage.batch_size for stage in behind) / self.stage.batch_size  # such steps
        self.begun: tuple[int, float] | None = None  # steps and time behind the first one, which prepares more
        self.told = time.monotonic()
        self.done, self.left = 0, ("?", "?")  # of the stage, of the run
        self.curves: dict[str, list[float]] = {}
        self.live: Live | None = None

    @rank_zero_only
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, UnifiedModule)
        self.done = pl_module.steps_done
        console = terminal()
        if console is not None:
            self.live = Live(get_renderable=self.table, console=console, auto_refresh=False)
            self.live.start(refresh=True)

    @rank_zero_only
    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, UnifiedModule)
        done, now = pl_module.steps_done, time.monotonic()
        self.begun = self.begun or (done, now)
        left = self.stage.steps - done
        self.done, self.left = done, (self.seconds(left, done, now), self.seconds(left + self.later, done, now))
        measured = (done - 1) % self.meter.every == 0
        for loss, value in self.meter.shown.items() if measured else ():
            self.curves.setdefault(loss, []).append(value)
        if self.live is not None and now - self.told >= REFRESH:
            self.told = now
            self.live.refresh()
        if self.live is None and now - self.told >= LINE_EVERY and measured:
            self.told = now
            losses = ", ".join(f"{loss} {value:.3g}" for loss, value in self.meter.shown.items())
            stage, run = self.left
            text = f"{self.name}: {done:,} of {self.stage.steps:,} steps, {stage} left, of the run {run}; {losses}"
            print(text, file=sys.stderr, flush=True)

    def table(self) -> Table:
        """The stages with their steps and time left, and under them each loss: its last value and its curve."""
        table = Table.grid(padding=(0, 2))
        for number, (name, stage) in enumerate(self.stages.items()):
            done = self.done if number == self.place else stage.steps if number < self.place else 0
            left = f"{self.left[0]} left, of the run {self.left[1]}" if number == self.place else ""
            bar = ProgressBar(total=stage.steps, completed=done, width=CURVE)
            table.add_row(name, bar, f"{done:,}/{stage.steps:,}", left)
        for loss, values in self.curves.items():
            table.add_row(loss, curve(values), f"{values[-1]:.3g}")
        return table

    def seconds(self, steps: float, done: int, now: float) -> str:
        """How long ``steps`` more take by the mean of those since the start, as hours, minutes and seconds."""
        assert self.begun is not None
        counted = done - self.begun[0]
        return tqdm.format_interval(steps * (now - self.begun[1]) / counted) if counted else "?"

    def close(self) -> None:
        """Leave the table as it is, and the cursor with whoever comes next."""
        if self.live is not None:
            self.live.refresh()
            self.live.stop()
            self.live = None

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self.close()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        self.close()


def curve(values: list[float]) -> str:
    """Values as bars between their least and their largest, neighbours as their mean where they are many."""
    columns = min(len(values), CURVE)
    edges = [round(column * len(values) / columns) for column in range(columns + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, span = min(means), (max(means) - min(means)) or 1.0
    return "".join(BARS[round((mean - low) / span * (len(BARS) - 1))] for mean in means)
