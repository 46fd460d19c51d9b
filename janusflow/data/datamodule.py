"""The data of one stage. A batch is a pure function of (seed, stage, step): resuming is starting at a later step."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import lightning as L
import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from janusflow.data.config import DataConfig
from janusflow.data.folder import FolderSource
from janusflow.data.rows import RowBuilder
from janusflow.data.sample import Batch, GenerationSample, Source
from janusflow.data.shapes.source import ShapesSource
from janusflow.models.vae import LatentCodec
from janusflow.training.stages import StageConfig, quota


class StepDataset(Dataset[Batch]):
    """Item ``step`` is the whole batch of that step of the stage."""

    def __init__(
        self, source: Source, builder: RowBuilder, stage: StageConfig, config: DataConfig, seed: list[int]
    ) -> None:
        self.source, self.builder, self.stage, self.config, self.seed = source, builder, stage, config, seed

    def __len__(self) -> int:
        return self.stage.steps

    def __getitem__(self, step: int) -> Batch:
        counts = quota(self.stage, step)
        first = step * self.stage.batch_size  # an index is never used twice in a stage
        drops = np.random.default_rng([*self.seed, step]).random(counts.generation) < self.config.prompt_drop
        und = [self.source.understanding(first + i) for i in range(counts.understanding)]
        gen = [self.source.generation(first + i, self.stage.first_sentence) for i in range(counts.generation)]
        text = [self.source.text(first + i) for i in range(counts.text)]
        sequences = [
            *map(self.builder.understanding, und),
            *(self.builder.generation(s, self.stage.instruction, bool(d)) for s, d in zip(gen, drops, strict=True)),
            *map(self.builder.text, text),
        ]
        return self.builder.collate(sequences, und, gen, step)


class StepSampler(Sampler[int]):
    """Steps in order, from wherever training stands when the epoch begins."""

    def __init__(self, steps: int, start: Callable[[], int]) -> None:
        self.steps, self.start = steps, start

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start(), self.steps))


def open_source(config: DataConfig, seed: int) -> Source:
    """The source that ``config`` names. Raises ``ValueError`` where its files are missing or damaged."""
    if config.folder is None:
        return ShapesSource(config, seed)
    return FolderSource(config.folder, seed, config.cached_latents)


class StageData(L.LightningDataModule):
    """The loader of one stage. ``seed`` is the run's seed and the stage's number."""

    def __init__(self, builder: RowBuilder, stage: StageConfig, config: DataConfig, seed: tuple[int, int]) -> None:
        super().__init__()
        source = open_source(config, int(np.random.SeedSequence(seed).generate_state(1)[0]))
        self.dataset = StepDataset(source, builder, stage, config, list(seed))
        self.workers = config.workers

    def examples(self, count: int) -> list[GenerationSample]:
        """Training images with their captions, for previews. Raises ``ValueError`` where the source is no folder."""
        source = self.dataset.source
        if not count:
            return []
        if not isinstance(source, FolderSource):
            raise ValueError("preview.examples shows the images of a folder; the data has none")
        return source.examples(count)

    def check_latents(self, codec: LatentCodec) -> None:
        """Raise ``ValueError`` where stored latents are not those that ``codec`` would give."""
        latents = getattr(self.dataset.source, "latents", None)
        if latents is not None:
            latents.check(codec, self.dataset.builder.image_size)

    def train_dataloader(self) -> DataLoader:
        """Whole batches, made ahead by worker processes."""
        return DataLoader(
            self.dataset,
            batch_size=None,
            sampler=StepSampler(len(self.dataset), self._steps_done),
            num_workers=self.workers,
            prefetch_factor=4 if self.workers else None,
        )

    def _steps_done(self) -> int:
        return self.trainer.global_step if self.trainer is not None else 0
