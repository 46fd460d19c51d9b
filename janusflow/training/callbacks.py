"""What watches a run: metrics on disk, preview grids, and the guard against losses that are not numbers."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image
from torchmetrics.functional.image import peak_signal_noise_ratio

from janusflow.checkpoint import Bundle
from janusflow.data.sample import GenerationSample
from janusflow.data.transforms import generation_pixels, to_images
from janusflow.generate import generate_images
from janusflow.models.flow_head import SamplingOptions
from janusflow.models.vae import LatentCodec
from janusflow.pictures import grid


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

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if self.config.every and trainer.global_step % self.config.every == 0:
            self.draw(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.draw(trainer)

    @rank_zero_only
    def draw(self, trainer: L.Trainer) -> None:
        """Write the grid of the weights as they are now."""
        if not self.config.prompts and not self.examples:
            return
        picture = draw_grid(self.bundle, self.config, self.examples)
        self.folder.mkdir(parents=True, exist_ok=True)
        picture.save(self.folder / f"{self.stage}-{trainer.global_step:06d}.png")


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


class FiniteLoss(L.Callback):
    """Stops the run with a clear error when a loss is not a number."""

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *args: Any) -> None:
        value = float(outputs["loss"])
        if not math.isfinite(value):
            raise ValueError(f"the loss became {value} at step {trainer.global_step}; lower the learning rate")
