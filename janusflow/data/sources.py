"""The sources of a run as one: readers mixed by weight, each shuffled anew in every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from janusflow.codecs.base import ImageCodec
from janusflow.data.config import SOURCES, TASKS, DataConfig, SourceConfig, Task
from janusflow.data.editing import squared
from janusflow.data.latents import DrawnSize
from janusflow.data.mixture import Weighted
from janusflow.data.readers.base import Reader
from janusflow.data.reconstruction import ReconstructionConfig
from janusflow.data.sample import DocumentSample, GenerationSample, TextSample, UnderstandingSample


def open_reader(config: SourceConfig) -> Reader:
    """The reader of one source. Raises ``ValueError`` where its files are missing or damaged."""
    return SOURCES.load(config.kind)(config)


def open_readers(config: DataConfig) -> dict[str, Reader]:
    """The readers of the sources that are used. Raises ``ValueError`` where files are missing or damaged."""
    return {name: open_reader(own) for name, own in config.used_sources.items()}


class MixedSource:
    """Endless samples for each task out of the readers that serve it, a pure function of (seed, task, index).

    A source gives each of its samples once in an epoch of its own, in a new order each time. A sample that cannot be
    read raises ``ValueError`` with its name, one that the settings leave out
    :class:`~janusflow.data.sample.Unwanted`; the plan takes another.

    readers: by the sources' names, where they are open already.
    """

    def __init__(self, config: DataConfig, seed: int, readers: Mapping[str, Reader] | None = None) -> None:
        self.seed = seed
        self.readers = open_readers(config) if readers is None else readers
        self.held = {name: reader.held_out(config.held_out) for name, reader in self.readers.items()}
        self.names: dict[Task, list[str]] = {task: [] for task in TASKS}
        configs = config.used_sources
        for name, reader in self.readers.items():
            for task in configs[name].tasks or reader.tasks:
                if task not in reader.tasks:
                    raise ValueError(f"the source {name!r} ({configs[name].kind}) gives no {task} samples")
                self.names[task].append(name)
        self.orders = {
            task: Weighted([configs[name].weight for name in names], (seed, number))
            for number, (task, names) in enumerate(self.names.items())
            if names
        }

    def describe(self) -> str:
        """Every source with its number of samples and what it is used for."""
        uses = {name: [task for task in TASKS if name in self.names[task]] for name in self.readers}
        return "; ".join(self.readers[name].describe(name, tasks) for name, tasks in uses.items())

    def understanding(self, index: int) -> UnderstandingSample | DocumentSample:
        reader, item, rng = self._pick("understanding", index)
        return reader.understanding(item, rng)

    def generation(self, index: int, first_sentence: float) -> GenerationSample:
        """A share ``first_sentence`` of the captions is cut to its first sentence (Sec. 4.2)."""
        reader, item, rng = self._pick("generation", index)
        sample = reader.generation(item, rng)
        if rng.random() < first_sentence:
            sample = sample._replace(prompt=sample.prompt.split(". ")[0])
        return sample

    def text(self, index: int) -> TextSample:
        reader, item, rng = self._pick("text", index)
        return reader.text(item, rng)

    def reconstruction(self, index: int, config: ReconstructionConfig) -> GenerationSample:
        """An image behind itself."""
        reader, item, rng = self._pick("reconstruction", index)
        return config.prompted(reader.reconstruction(item, rng), rng)

    def editing(self, index: int) -> GenerationSample:
        """An image behind the one that it was made of, and the instruction."""
        reader, item, rng = self._pick("editing", index)
        return squared(reader.editing(item, rng))

    def held_samples(self, name: str, task: Task, numbers: Iterable[int]) -> Iterator[tuple[int, Any]]:
        """Those of the held-out samples of source ``name`` for ``task`` that can be read, with their numbers."""
        reader = self.readers[name]
        for number in numbers:
            with suppress(ValueError):
                yield number, getattr(reader, task)(*reader.pick_held(number, self.held[name]))

    def examples(
        self, count: int, fits: Callable[[str], bool] = bool, task: Task = "generation"
    ) -> list[GenerationSample]:
        """The first ``count`` images with a prompt that ``fits``, of the first source that has some, for previews."""
        rng = np.random.default_rng(self.seed)
        for reader in (self.readers[name] for name in self.names[task]):
            found: list[GenerationSample] = []
            for item in range(len(reader)):
                try:
                    sample = getattr(reader, task)(item, rng)
                    if sample.image is not None and fits(sample.prompt):
                        found.append(sample)
                except ValueError:
                    continue
                if len(found) == count:
                    break
            if found:
                return found
        raise ValueError("preview.examples shows captioned images; the data has none")

    def check_latents(self, codec: ImageCodec, size: DrawnSize) -> None:
        """Raise ``ValueError`` where stored latents are not those that ``codec`` gives at ``size`` pixels."""
        for reader in self.readers.values():
            if reader.latents is not None:
                reader.latents.check(codec, size)

    def _pick(self, task: Task, index: int) -> tuple[Reader, int, np.random.Generator]:
        if task not in self.orders:
            raise ValueError(f"the mixture wants {task} samples, and no source gives any")
        source, place = self.orders[task][index]
        name = self.names[task][source]
        reader = self.readers[name]
        return reader, *reader.pick((self.seed, TASKS.index(task), source), place, self.held[name])
