"""What a run measures while it trains: losses, rates and speed in its table, held-out samples, losses gone astray."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from janusflow.training import distributed
from janusflow.training.module import StepResult, UnifiedModule
from janusflow.training.throughput import memory_gib, peak_flops, step_flops


class MetricsCSV(Logger):
    """Appends ``stage,step,metric,value`` lines to one file that outlives stages and resumed runs."""

    FIELDS = ("stage", "step", "metric", "value")

    def __init__(self, path: Path, stage: str) -> None:
        super().__init__()
        self.path, self.stage = path, stage

    @property
    def name(self) -> str:
        return self.stage

    @property
    def version(self) -> int:
        return 0

    @rank_zero_only
    def rewind(self, step: int) -> None:
        """Forget this stage's lines from ``step`` on: a resumed run writes them again. Keeps everything else."""
        if not self.path.exists():
            self._write([self.FIELDS], "w")
            return
        with self.path.open(newline="") as file:
            lines = [line for line in csv.reader(file) if len(line) == len(self.FIELDS)]
        kept = [line for line in lines if line[0] != self.stage or int(line[1]) < step]
        replace_csv(self.path, kept)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._write(
            [(self.stage, step, name, f"{value:.6g}") for name, value in metrics.items() if name != "epoch"], "a"
        )

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run folder holds its configuration."""

    def _write(self, lines: list, mode: str) -> None:
        with self.path.open(mode, newline="") as file:
            csv.writer(file).writerows(lines)


def replace_csv(path: Path, lines: list) -> None:
    """Write a table anew, whole or not at all."""
    unfinished = path.with_suffix(".part")
    with unfinished.open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    unfinished.replace(path)


def has_lines(path: Path) -> bool:
    """Whether the table ``path`` exists and has more than its header."""
    if not path.exists():
        return False
    with path.open(newline="") as file:
        return len(list(islice(csv.reader(file), 2))) == 2


class Meter(L.Callback):
    """Logs losses, the gradient's norm and the speed every ``every`` steps; ``shown`` are the latest for the eye."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.start, self.waited = time.perf_counter(), 0.0
        self.steps: list[StepResult] = []
        self.skipped = 0
        self.shown: dict[str, float] = {}

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, UnifiedModule)
        now = time.perf_counter()
        if pl_module.step_ended is None:
            self.start = now
        else:
            self.waited += now - pl_module.step_ended

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, UnifiedModule) and pl_module.result is not None
        result = pl_module.result
        self.steps.append(result)
        self.skipped += result.skipped
        if result.step % self.every == 0:
            metrics = self.measure(pl_module, time.perf_counter())
            log(trainer, metrics, result.step)
            self.shown = {name.removeprefix("loss/"): metrics[name] for name in metrics if name.startswith("loss/")}
            self.shown |= {name: metrics[name] for name in ("reward", "ratio", "kl") if name in metrics}
            self.shown["tokens/s"] = metrics["tokens_per_second"]

    def measure(self, module: UnifiedModule, now: float) -> dict[str, float]:
        """The last step's losses, and the speed since the last call; the same on all ranks."""
        last, device = self.steps[-1], module.device
        seconds = max(now - self.start, 1e-9)
        flops = sum(step_flops(module.model, s.lengths, s.und_images, s.gen_images) for s in self.steps)
        sums = torch.tensor(
            [
                *(float(loss) for loss in last.losses.values()),
                float(sum(int(s.lengths.sum()) for s in self.steps)),
                float(sum(s.positions for s in self.steps)),
                flops,
                self.waited,
                float(sum(s.left_out for s in self.steps)),
                float(sum(s.gen_images for s in self.steps)),
            ],
            dtype=torch.float64,
        ).to(device if device.type != "mps" else "cpu")
        *losses, tokens, positions, flops, waited, left_out, drawn = distributed.sum_over_ranks(sums).tolist()
        by_name, weights = dict(zip(last.losses, losses, strict=True)), module.model.weights
        metrics = {f"loss/{name}" if name in weights else name: value for name, value in by_name.items()}
        metrics |= {
            "loss/total": sum(weight * by_name[name] for name, weight in weights.items()),
            **{f"weight/{name}": weight for name, weight in weights.items()},
            **last.notes,
            "gradient_norm": last.gradient_norm,
            "learning_rate": module.rate(last.step),
            "tokens_per_second": tokens / seconds,
            "generated_images_per_second": drawn / seconds,
            "seconds_per_step": seconds / len(self.steps),
            "memory_gib": memory_gib(device),  # the most so far
            "useful_tokens": tokens / max(positions, 1),  # share of the positions that are no padding
            "data_wait": waited / distributed.world_size() / seconds,  # share of the time
            "skipped_steps": self.skipped,
            "left_out_samples": left_out,  # since the last line, because the settings do not want them
        }
        peak = peak_flops(device)
        if peak is not None:
            metrics["mfu"] = flops / seconds / (peak * distributed.world_size())
        self.start, self.waited, self.steps = now, 0.0, []
        return metrics


class LossBands(L.Callback):
    """Warns, once for each loss of a stage, where its moving mean leaves its band: far above its best.

    Far is 1 or the best's size, whichever is more: an answers' loss of 1.5 may become 3, an alignment of -0.7 may be
    lost.
    """

    MEMORY = 0.9  # share of the moving mean that stays in a step

    def __init__(self, name: str) -> None:
        self.name = name
        self.means: dict[str, float] = {}
        self.best: dict[str, tuple[float, int]] = {}  # with its step
        self.warned: set[str] = set()

    @rank_zero_only
    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, UnifiedModule) and pl_module.result is not None
        if pl_module.result.skipped:  # a loss that is not finite would stay in the mean
            return
        step = pl_module.result.step
        for loss in pl_module.model.weights:
            tensor = pl_module.result.losses[loss]
            value = float(tensor) * distributed.world_size()  # this process's share stands for the others'
            mean = self.means[loss] = self.MEMORY * self.means.get(loss, value) + (1 - self.MEMORY) * value
            best, when = self.best.setdefault(loss, (mean, step))
            if mean < best:
                self.best[loss] = mean, step
            elif mean - best > max(1.0, abs(best)) and loss not in self.warned:
                self.warned.add(loss)
                rate = pl_module.rate(step)
                print(
                    f"warning: {self.name}, step {step}: the loss {loss} is {mean:.3g} and was {best:.3g} at step "
                    f"{when}; the learning rate, {rate:.3g}, may be too high",
                    file=sys.stderr,
                )


class Validation(L.Callback):
    """Logs the losses of each source's held-out samples every ``every`` steps (0: never in between) and at the end.

    Warns, once for each loss of the stage ``name``, where one rises over its least by :data:`RISE` of it. best: told of
    every measurement, on all processes.
    """

    RISE = 0.05

    def __init__(
        self, every: int, name: str, best: Callable[[UnifiedModule, dict[str, float], int], None] | None = None
    ) -> None:
        self.every, self.name, self.best = every, name, best
        self.least: dict[str, tuple[float, int]] = {}  # with its step
        self.warned: set[str] = set()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, UnifiedModule)
        done = pl_module.steps_done
        if pl_module.is_last_step or (self.every and done % self.every == 0):
            found = self.measure(trainer, pl_module)
            log(trainer, found, done - 1)
            self.warn(found, done - 1)
            if self.best is not None:
                self.best(pl_module, found, done - 1)

    @rank_zero_only
    def warn(self, found: Mapping[str, float], step: int) -> None:
        """Say which losses rise."""
        for loss, value in found.items():
            least, when = self.least.setdefault(loss, (value, step))
            if value < least:
                self.least[loss] = value, step
            elif value - least > self.RISE * abs(least) and loss not in self.warned:
                self.warned.add(loss)
                print(
                    f"warning: {self.name}, step {step}: {loss} is {value:.3g} and was {least:.3g} at step {when}: it "
                    "gets worse on what is held out (see trainer.keep_best)",
                    file=sys.stderr,
                )

    @torch.no_grad()
    def measure(self, trainer: L.Trainer, module: UnifiedModule) -> dict[str, float]:
        """The losses as they are now. All processes must call it."""
        training = module.exported.training
        found: dict[str, float] = {}
        module.exported.eval()
        with torch.compiler.set_stance("force_eager"), trainer.precision_plugin.val_step_context():
            for number, data in enumerate(trainer.datamodule.val_dataloader()):  # type: ignore[attr-defined]
                found |= module.validation_step(trainer.strategy.batch_to_device(data), number)
        distributed.reshard(module.exported)  # or the average would go on with its whole weights, not its shard
        module.exported.train(training)
        return found


def log(trainer: L.Trainer, metrics: Mapping[str, float], step: int) -> None:
    """Give ``metrics`` of a stage's step to all loggers."""
    for logger in trainer.loggers:
        logger.log_metrics(dict(metrics), step=step)
