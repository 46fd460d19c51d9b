"""What surrounds the steps of a run: signals, unreadable samples, training states."""

from __future__ import annotations

import csv
import signal
import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint as Checkpointing
from lightning.pytorch.utilities import rank_zero_only

from janusflow.training import checkpoints
from janusflow.training.checkpoints import Checkpoint
from janusflow.training.metrics import replace_csv
from janusflow.training.module import UnifiedModule

REPEATED = 1.0  # seconds in which a second Ctrl-C is the first one, passed on


class Faults(L.Callback):
    """Lists unreadable samples in ``faults.csv``; stops the run on all ranks where their share exceeds ``limit``."""

    GRACE = 1000  # samples before the share counts

    def __init__(self, path: Path, stage: str, limit: float, first_step: int) -> None:
        self.path, self.stage, self.limit, self.first_step = path, stage, limit, first_step
        self.samples = self.found = 0

    @rank_zero_only
    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget the lines of steps that a resumed run does again."""
        if self.path.exists():
            with self.path.open(newline="") as file:
                lines = [line for line in csv.reader(file) if len(line) == 3]
            replace_csv(self.path, [x for x in lines if x[0] != self.stage or int(x[1]) < self.first_step])

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, UnifiedModule) and pl_module.result is not None and pl_module.stage is not None
        result = pl_module.result
        self.samples += pl_module.stage.batch_size
        self.found += result.all_faults
        if result.faults:  # each rank appends its own lines
            with self.path.open("a", newline="") as file:
                csv.writer(file).writerows([(self.stage, result.step, fault) for fault in result.faults])
        if self.samples >= self.GRACE and self.found > self.limit * self.samples:
            raise ValueError(
                f"{self.found} of {self.samples} samples cannot be used, more than data.max_faults {self.limit}: "
                f"see {self.path}"
            )


class SaveStates(Checkpointing):
    """Saves the state of the last of ``stages`` every ``every`` steps, at the end, and when the run is to stop.

    Lightning calls checkpointing callbacks behind all others: a run that is killed then has a saved step's lines.
    """

    def __init__(self, folder: Path, stages: list[str], every: int, keep: int) -> None:
        self.folder, self.stages, self.every, self.keep = folder, stages, every, keep

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, UnifiedModule) and pl_module.result is not None
        done, stop = pl_module.steps_done, pl_module.result.stop
        if done % self.every == 0 or pl_module.is_last_step or stop:
            optimizer = pl_module.optimizers(use_pl_optimizer=False)
            checkpoints.save(self.folder, self.stages, done, pl_module, optimizer, self.keep)  # type: ignore[arg-type]
            pl_module.forget(checkpoints.find(self.folder, self.stages[-1:])[0].step)
        if stop:
            trainer.should_stop = True


class RestoreState(L.Callback):
    """Fills model, average and optimizer when training begins."""

    def __init__(self, state: Checkpoint | None) -> None:
        self.state = state

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, UnifiedModule)
        if self.state is not None:
            checkpoints.load(self.state, pl_module, pl_module.optimizers(use_pl_optimizer=False))  # type: ignore[arg-type]


class StopOnSignals(L.Callback):
    """SIGTERM and SIGINT end the run after the step at hand; ``received`` is the first one. Ctrl-C again: at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.since = 0.0
        self.before: dict[int, Any] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the signals over from Lightning, which would raise at once and on every rank at another step."""
        assert isinstance(pl_module, UnifiedModule)

        def receive(number: int, frame: object) -> None:
            # Launchers pass signals on to processes that have got them already: only a later Ctrl-C means "at once".
            if self.received is None:
                self.received, self.since = number, time.monotonic()
            elif number == signal.SIGINT and time.monotonic() - self.since > REPEATED:
                raise KeyboardInterrupt
            pl_module.stop_requested = True

        self.before = {number: signal.signal(number, receive) for number in (signal.SIGTERM, signal.SIGINT)}

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}
