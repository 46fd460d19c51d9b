"""The data of one stage. A step's data is a pure function of (seed, stage, step): resuming is starting at a later step.

The samples of a step do not depend on how many ranks and micro-batches share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import lightning as L
import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from janusflow.data.config import DataConfig, Task
from janusflow.data.editing import squared
from janusflow.data.mixture import share
from janusflow.data.readers.base import HELD, Reader
from janusflow.data.rows import RowBuilder, TokenSequence
from janusflow.data.sample import Batch, GenerationSample, Step, Unwanted
from janusflow.data.sources import MixedSource
from janusflow.training import distributed, workers
from janusflow.training.stages import StageConfig, quota, taken

TRIES = 16  # samples that may be unreadable in a row in one place of the plan …
SKIPS = 10_000  # … and that may be unwanted
HELD_BATCH = 16  # held-out samples of a source in a forward pass, of each task
SPARE = 1_000_003  # a replacement's distance from the index that failed

S = TypeVar("S")


class Part(NamedTuple):
    """Which share of every step is made here: micro-batches of rank ``rank`` out of ``ranks``."""

    rank: int = 0
    ranks: int = 1
    micro_batches: int = 1


@dataclass
class Rejects:
    """What a step's plan met and did not take."""

    faults: list[str]
    left_out: int


class StepDataset(Dataset[Step]):
    """Item ``step`` is this rank's share of that step of the stage."""

    def __init__(
        self,
        source: MixedSource,
        builder: RowBuilder,
        stage: StageConfig,
        config: DataConfig,
        seed: list[int],
        part: Part,
    ) -> None:
        self.source, self.builder, self.stage, self.config, self.seed = source, builder, stage, config, seed
        self.part = part

    def __len__(self) -> int:
        return self.stage.steps

    def __getitem__(self, step: int) -> Step:
        rejects = Rejects([], 0)
        micro_batches = [self._micro_batch(step, number, rejects) for number in range(self.part.micro_batches)]
        return Step(micro_batches, rejects.faults, rejects.left_out)

    def _micro_batch(self, step: int, number: int, rejects: Rejects) -> Batch:
        counts, first = quota(self.stage, step), taken(self.stage, step)
        if self.stage.rollout is not None:  # the model draws them
            counts = counts._replace(generation=0)
        parts = self.part.ranks * self.part.micro_batches
        own = self.part.rank * self.part.micro_batches + number
        rng = np.random.default_rng([*self.seed, step])
        builder, stage, source = self.builder, self.stage, self.source
        seeds: list[int] = []  # of times and noise

        def drawn(
            task: Task, read: Callable[[int], GenerationSample], words_drop: float = 0.0
        ) -> list[tuple[Any, TokenSequence]]:
            count, begin = getattr(counts, task), getattr(first, task)
            draws = rng.random(count)
            drops = draws < self.config.prompt_drop
            wordless = draws < self.config.prompt_drop + words_drop
            numbers = rng.integers(0, 2**62, count)
            seeds.extend(int(numbers[i]) for i in share(count, own, parts))

            def build(i: int, sample: GenerationSample) -> TokenSequence:
                sample = sample._replace(prompt="") if wordless[i] and not drops[i] else sample
                return builder.generation(sample, stage.instruction, bool(drops[i]))

            return [self._read(begin + i, read, partial(build, i), rejects) for i in share(count, own, parts)]

        found: list[tuple[Any, TokenSequence]] = [
            self._read(first.understanding + i, source.understanding, builder.understanding, rejects)
            for i in share(counts.understanding, own, parts)
        ]
        found += drawn("generation", lambda index: source.generation(index, stage.first_sentence))
        found += [
            self._read(first.text + i, source.text, builder.text, rejects) for i in share(counts.text, own, parts)
        ]
        found += drawn("reconstruction", lambda index: source.reconstruction(index, stage.reconstruction))
        found += drawn("editing", source.editing, stage.editing.words_drop)
        return collate(builder, found, seeds)

    def _read(
        self, index: int, read: Callable[[int], S], build: Callable[[S], TokenSequence], rejects: Rejects
    ) -> tuple[S, TokenSequence]:
        """The sample of ``index``, or the first usable one of its replacements. Lists what could not be read."""
        unreadable = 0
        for attempt in range(SKIPS):
            try:
                sample = read(index + attempt * SPARE)
                return sample, build(sample)
            except Unwanted as error:
                reason = str(error)
                rejects.left_out += 1
            except ValueError as error:
                reason = str(error)
                rejects.faults.append(reason)
                unreadable += 1
                if unreadable == TRIES:
                    break
        raise ValueError(f"{attempt + 1} samples in a row cannot be used, the last because: {reason}")


class HeldOut(NamedTuple):
    """One rank's share of a source's held-out samples."""

    source: str
    micro_batches: list[Batch]
    faults: list[str]


class HeldOutDataset(Dataset[HeldOut]):
    """Item ``i`` is this rank's share of what source ``i`` holds out of the tasks in the stage's mixture.

    Captions are whole, no prompt is dropped, and what is random about an image (its time and noise) is always the same.
    """

    def __init__(self, source: MixedSource, builder: RowBuilder, stage: StageConfig, part: Part) -> None:
        self.source, self.builder, self.stage, self.part = source, builder, stage, part
        self.names = [name for name, held in source.held.items() if held]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, item: int) -> HeldOut:
        name = self.names[item]
        chunks = -(-self.source.held[name] // (HELD_BATCH * self.part.ranks))  # as many on every rank
        parts = chunks * self.part.ranks
        own = range(self.part.rank, parts, self.part.ranks)
        return HeldOut(name, [self._batch(name, share(self.source.held[name], number, parts)) for number in own], [])

    def _batch(self, name: str, numbers: range) -> Batch:
        def drawn(sample: GenerationSample) -> TokenSequence:
            return self.builder.generation(sample, self.stage.instruction, drop=False)

        builders: dict[Task, Callable[[Any], TokenSequence]] = {
            "understanding": self.builder.understanding,
            "generation": drawn,
            "text": self.builder.text,
            "reconstruction": drawn,
            "editing": drawn,
        }
        found: list[tuple[Any, TokenSequence]] = []
        seeds: list[int] = []
        for task in self.stage.tasks:
            if name not in self.source.names[task]:
                continue
            for number, sample in self.source.held_samples(name, task, numbers):
                if task == "reconstruction":
                    sample = self.stage.reconstruction.prompted(sample, np.random.default_rng((*HELD, number)))
                if task == "editing":
                    sample = squared(sample)
                with suppress(ValueError):  # longer than a row
                    found.append((sample, builders[task](sample)))
                    seeds += [number] * len(found[-1][1].gen)
        return collate(self.builder, found, seeds)


def collate(builder: RowBuilder, found: Sequence[tuple[Any, TokenSequence]], seeds: Sequence[int]) -> Batch:
    """The batch of samples with their tokens. A prompt that is dropped shows nothing."""
    sequences = [sequence for _, sequence in found]
    und = [sample for sample, sequence in found if sequence.und]
    gen = [sample for sample, sequence in found if sequence.gen]
    return builder.collate(sequences, und, gen, seeds, [sample for sample, sequence in found if sequence.source])


class StepSampler(Sampler[int]):
    """Steps in order, from wherever training stands when the epoch begins."""

    def __init__(self, steps: int, start: int) -> None:
        self.steps, self.start = steps, start

    def __len__(self) -> int:
        return self.steps - self.start

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.steps))


class StageData(L.LightningDataModule):
    """The loader of one stage from step ``start`` on. ``seed`` is the run's seed and the stage's number.

    readers: the data's, where they are open already.
    """

    def __init__(
        self,
        builder: RowBuilder,
        stage: StageConfig,
        config: DataConfig,
        seed: tuple[int, int],
        start: int = 0,
        micro_batches: int = 1,
        readers: Mapping[str, Reader] | None = None,
    ) -> None:
        super().__init__()
        self.source = MixedSource(config, int(np.random.SeedSequence(seed).generate_state(1)[0]), readers)
        self.builder, self.stage, self.config, self.seed = builder, stage, config, list(seed)
        self.start, self.micro_batches = start, micro_batches

    def val_dataloader(self) -> DataLoader:
        """The held-out samples, a source at a time."""
        part = Part(distributed.rank(), distributed.world_size())
        return DataLoader(HeldOutDataset(self.source, self.builder, self.stage, part), batch_size=None)

    def train_dataloader(self) -> DataLoader:
        """Whole steps, made ahead by worker processes."""
        part = Part(distributed.rank(), distributed.world_size(), self.micro_batches)
        count = self.config.workers
        return DataLoader(
            StepDataset(self.source, self.builder, self.stage, self.config, self.seed, part),
            batch_size=None,
            sampler=StepSampler(self.stage.steps, self.start),
            num_workers=count,
            multiprocessing_context=workers.start_method() if count else None,
            worker_init_fn=workers.receive_signals,
            prefetch_factor=4 if count else None,
            pin_memory=count > 0 and L.pytorch.accelerators.CUDAAccelerator.is_available(),
        )
