"""How far a run is: moving bars on a terminal; without one, a line a minute at most."""

from __future__ import annotations

import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.utilities import rank_zero_only
from tqdm import tqdm

from janusflow.training.metrics import Meter
from janusflow.training.module import UnifiedModule
from janusflow.training.stages import StageConfig

REFRESH = 0.1  # seconds between movements of the bar
LINE_EVERY = 60.0  # seconds between lines where there is no terminal


class StageProgress(L.Callback):
    """The steps of stage ``name``, what is left of it and of the whole run, and the losses that ``meter`` measured.

    What is left counts samples: those of later stages are taken to be as fast as this one's.
    """

    def __init__(self, stages: dict[str, StageConfig], name: str, meter: Meter) -> None:
        self.name, self.stage, self.meter = name, stages[name], meter
        behind = list(stages.values())[list(stages).index(name) + 1 :]
        self.later = sum(stage.steps * stage.batch_size for stage in behind) / self.stage.batch_size  # such steps
        self.begun: tuple[int, float] | None = None  # steps and time behind the first one, which prepares more
        self.told = time.monotonic()

    @rank_zero_only
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, UnifiedModule)
        self.bar = tqdm(
            desc=self.name,
            initial=pl_module.steps_done,
            total=self.stage.steps,
            unit="step",
            miniters=1,  # whether it moves is a matter of time alone
            mininterval=REFRESH,
            smoothing=0.1,
            dynamic_ncols=True,
            disable=None,
        )

    @rank_zero_only
    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, UnifiedModule)
        done, now = pl_module.steps_done, time.monotonic()
        self.begun = self.begun or (done, now)
        left = self.stage.steps - done
        stage, run = (self.seconds(steps, done, now) for steps in (left, left + self.later))
        losses = ", ".join(f"{name} {value:.3g}" for name, value in self.meter.shown.items())
        self.bar.set_postfix_str(f"run {run} left, {losses}", refresh=False)
        self.bar.update()
        if self.bar.disable and now - self.told >= LINE_EVERY and (done - 1) % self.meter.every == 0:
            self.told = now
            text = f"{self.name}: {done:,} of {self.stage.steps:,} steps, {stage} left, of the run {run}; {losses}"
            print(text, file=sys.stderr, flush=True)

    def seconds(self, steps: float, done: int, now: float) -> str:
        """How long ``steps`` more take by the mean of those since the start, as hours, minutes and seconds."""
        assert self.begun is not None
        counted = done - self.begun[0]
        return tqdm.format_interval(steps * (now - self.begun[1]) / counted) if counted else "?"

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if hasattr(self, "bar"):
            self.bar.close()
