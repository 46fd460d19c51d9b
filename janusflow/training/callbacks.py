"""What watches a run: metrics on disk, preview grids, unreadable samples, training states."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image
from torch.distributed.fsdp import FSDPModule
from torchmetrics.functional.image import peak_signal_noise_ratio

from janusflow.checkpoint import Bundle
from janusflow.data.sample import GenerationSample
from janusflow.data.transforms import generation_pixels, to_images
from janusflow.generate import generate_images
from janusflow.models.flow_head import SamplingOptions
from janusflow.models.unified import Losses
from janusflow.models.vae import LatentCodec
from janusflow.pictures import grid
from janusflow.training import checkpoints, distributed
from janusflow.training.module import JanusFlowModule, StepResult
from janusflow.training.throughput import peak_flops, step_flops


@dataclass
class PreviewConfig:
    """The sample grids of a run: one row of ``images`` pictures for each prompt."""

    every: int = 0  # steps between grids within a stage; 0: at the end of each stage only
    prompts: list[str] = field(default_factory=list)
    examples: int = 0  # folder data: rows that show a training image through the VAE, then drawings of its caption
    images: int = 6
    steps: int = 30
    guidance: float = 4.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.every < 0 or self.examples < 0 or self.images < 1 or self.steps < 1:
            raise ValueError("preview needs every >= 0, examples >= 0, images >= 1 and steps >= 1")


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
        self._write(kept, "w")

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


class Meter(L.Callback):
    """Logs losses, the gradient's norm and the speed every ``every`` steps; shows them in the progress bar."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.start = self.waited = 0.0
        self.ended: float | None = None
        self.steps: list[StepResult] = []
        self.skipped = 0

    def on_train_batch_start(self, *args: Any) -> None:
        now = time.perf_counter()
        if self.ended is None:
            self.start = now
        else:
            self.waited += now - self.ended

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, JanusFlowModule) and pl_module.result is not None
        result = pl_module.result
        self.steps.append(result)
        self.skipped += result.skipped
        self.ended = time.perf_counter()
        if result.step % self.every == 0:
            metrics = self.measure(pl_module)
            for logger in trainer.loggers:
                logger.log_metrics(metrics, step=result.step)
            shown = {name: metrics[name] for name in metrics if name.startswith("loss/") or name == "tokens_per_second"}
            pl_module.log_dict(shown, prog_bar=True, logger=False, rank_zero_only=True)

    def measure(self, module: JanusFlowModule) -> dict[str, float]:
        """The last step's losses, and the speed since the last call; the same on all ranks."""
        last, device = self.steps[-1], module.device
        seconds = max((self.ended or 0.0) - self.start, 1e-9)
        flops = sum(step_flops(module.model, s.lengths, s.und_images, s.gen_images) for s in self.steps)
        sums = torch.tensor(
            [
                *(float(loss) for loss in last.losses),
                float(sum(int(s.lengths.sum()) for s in self.steps)),
                float(sum(s.positions for s in self.steps)),
                flops,
                self.waited,
            ],
            dtype=torch.float64,
        ).to(device if device.type != "mps" else "cpu")
        *losses, tokens, positions, flops, waited = distributed.sum_over_ranks(sums).tolist()
        metrics = {f"loss/{name}": value for name, value in zip(Losses._fields, losses, strict=True)}
        metrics |= {
            "loss/total": sum(losses),
            "gradient_norm": last.gradient_norm,
            "tokens_per_second": tokens / seconds,
            "useful_tokens": tokens / max(positions, 1),  # share of the positions that are no padding
            "data_wait": waited / distributed.world_size() / seconds,  # share of the time
            "skipped_steps": self.skipped,
        }
        peak = peak_flops(device)
        if peak is not None:
            metrics["mfu"] = flops / seconds / (peak * distributed.world_size())
        self.start, self.waited, self.steps = self.ended or 0.0, 0.0, []
        return metrics


class Faults(L.Callback):
    """Lists unreadable samples in ``faults.csv`` and stops the run where they are more than the share ``limit``."""

    GRACE = 1000  # samples before the share counts

    def __init__(self, path: Path, stage: str, limit: float) -> None:
        self.path, self.stage, self.limit = path, stage, limit
        self.samples = self.found = 0

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, JanusFlowModule) and pl_module.result is not None
        result = pl_module.result
        self.samples += len(result.lengths)
        self.found += len(result.faults)
        if result.faults:  # each rank appends its own lines
            with self.path.open("a", newline="") as file:
                csv.writer(file).writerows([(self.stage, result.step, fault) for fault in result.faults])
        if self.samples >= self.GRACE and self.found > self.limit * self.samples:
            raise ValueError(
                f"{self.found} of {self.samples} samples cannot be used, more than data.max_faults {self.limit}: "
                f"see {self.path}"
            )


class Previews(L.Callback):
    """Draws the preview prompts and examples with the averaged weights into ``samples/{stage}-{step}.png``."""

    def __init__(
        self,
        bundle: Bundle,
        config: PreviewConfig,
        folder: Path,
        stage: str,
        examples: Sequence[GenerationSample] = (),
    ) -> None:
        self.bundle, self.config, self.folder, self.stage = bundle, config, folder, stage
        self.examples = examples

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, JanusFlowModule)
        done = pl_module.steps_done
        if pl_module.is_last_step or (self.config.every and done % self.config.every == 0):
            self.draw(done)

    def draw(self, step: int) -> None:
        """Write the grid of the weights as they are now. A sharded model draws on all ranks together."""
        if not self.config.prompts and not self.examples:
            return
        sharded = isinstance(self.bundle.model, FSDPModule)
        if not sharded and not distributed.is_main():
            return
        with distributed.gathered(self.bundle.model):
            picture = draw_grid(self.bundle, self.config, self.examples)
        if distributed.is_main():
            self.folder.mkdir(parents=True, exist_ok=True)
            picture.save(self.folder / f"{self.stage}-{step:06d}.png")


def draw_grid(bundle: Bundle, config: PreviewConfig, examples: Sequence[GenerationSample] = ()) -> Image.Image:
    """A row of ``config.images`` seeds for each prompt; an example's row begins with its image through the VAE."""
    captions = [*(example.prompt for example in examples), *config.prompts]
    prompts = [caption for caption in captions for _ in range(config.images)]
    seeds = [config.seed + column for _ in captions for column in range(config.images)]
    drawn = generate_images(bundle, prompts, seeds, SamplingOptions(config.steps, config.guidance))
    if not examples:
        return grid(drawn, config.images, captions)
    firsts = [Image.new("RGB", drawn[0].size, "white") for _ in captions]
    for row, example in enumerate(examples):
        firsts[row], decibels = through_vae(bundle.required_codec, example.image, drawn[0].width)
        captions[row] = f"{example.prompt}   (first: VAE, {decibels:.1f} dB)"
    rows = [drawn[start : start + config.images] for start in range(0, len(drawn), config.images)]
    cells = [image for first, row in zip(firsts, rows, strict=True) for image in (first, *row)]
    return grid(cells, 1 + config.images, captions)


def through_vae(codec: LatentCodec, image: Image.Image, size: int) -> tuple[Image.Image, float]:
    """What the codec keeps of an image's central square at ``size`` pixels, and its PSNR in dB."""
    pixels = generation_pixels(image, size).unsqueeze(0).to(codec.vae.device)
    decoded = codec.decode(codec.encode(pixels))
    return to_images(decoded)[0], float(peak_signal_noise_ratio(decoded, pixels, data_range=(-1.0, 1.0)))


class SaveStates(L.Callback):
    """Saves the training state every ``every`` steps, at the end, and when the run is asked to stop."""

    def __init__(self, folder: Path, stage: str, every: int, keep: int) -> None:
        self.folder, self.stage, self.every, self.keep = folder, stage, every, keep

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, JanusFlowModule) and pl_module.result is not None
        done, stop = pl_module.steps_done, pl_module.result.stop
        if done % self.every == 0 or pl_module.is_last_step or stop:
            optimizer = pl_module.optimizers(use_pl_optimizer=False)
            checkpoints.save(self.folder, self.stage, done, pl_module, optimizer, self.keep)  # type: ignore[arg-type]
        if stop:
            trainer.should_stop = True
