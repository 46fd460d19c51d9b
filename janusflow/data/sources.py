"""The sources of a run as one: readers mixed by weight, each shuffled anew in every epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from janusflow.codecs.base import ImageCodec
from janusflow.data.config import TASKS, DataConfig, SourceConfig, Task
from janusflow.data.mixture import Shuffle, Weighted
from janusflow.data.readers.base import CaptionedImages, Reader
from janusflow.data.readers.conversations import ConversationReader
from janusflow.data.readers.documents import DocumentReader
from janusflow.data.readers.folder import FolderReader
from janusflow.data.readers.parquet import ParquetReader
from janusflow.data.readers.text import TextReader
from janusflow.data.readers.webdataset import WebDatasetReader
from janusflow.data.sample import DocumentSample, GenerationSample, Source, TextSample, UnderstandingSample
from janusflow.worlds.shapes.source import ShapesSource

READERS: dict[str, type[Reader]] = {
    "webdataset": WebDatasetReader,
    "folder": FolderReader,
    "parquet": ParquetReader,
    "conversations": ConversationReader,
    "documents": DocumentReader,
    "text": TextReader,
}


def open_source(config: DataConfig, seed: int, readers: Mapping[str, Reader] | None = None) -> Source:
    """What ``config`` names, through ``readers`` where they are open already.

    Raises ``ValueError`` where files are missing or damaged.
    """
    return MixedSource(config.sources, seed, readers) if config.sources else ShapesSource(config, seed)


def used_sources(configs: Mapping[str, SourceConfig]) -> dict[str, SourceConfig]:
    """Those with a weight above 0; the others are neither opened nor checked."""
    return {name: config for name, config in configs.items() if config.weight > 0}


def open_readers(configs: Mapping[str, SourceConfig]) -> dict[str, Reader]:
    """The readers of the sources that are used. Raises ``ValueError`` where files are missing or damaged."""
    return {name: open_reader(config) for name, config in used_sources(configs).items()}


def offered_tasks(config: DataConfig) -> set[Task]:
    """The tasks that ``config`` has samples for, without opening anything."""
    if not config.sources:
        return set(ShapesSource.tasks)
    used = used_sources(config.sources).values()
    return {task for source in used for task in source.tasks or READERS[source.kind].tasks}


def open_reader(config: SourceConfig) -> Reader:
    """The reader of one source. Raises ``ValueError`` where its files are missing or damaged."""
    if config.kind == "webdataset":
        return WebDatasetReader(
            config.path, config.min_side, config.score_field, config.min_score, config.cached_latents
        )
    if config.kind == "folder":
        return FolderReader(config.path, config.min_side, config.cached_latents)
    if config.kind == "parquet":
        columns = config.image_column, config.caption_column
        return ParquetReader(config.path, config.min_side, *columns, config.cached_latents)
    if config.kind == "conversations":
        return ConversationReader(config.path, config.images, config.min_side)
    if config.kind == "documents":
        return DocumentReader(config.path, config.images, config.min_side)
    return TextReader(config.path)


class MixedSource:
    """Samples for each task out of the readers that serve it, a pure function of (seed, task, index).

    A source gives each of its samples once in an epoch of its own, in a new order each time.
    """

    def __init__(
        self, configs: dict[str, SourceConfig], seed: int, readers: Mapping[str, Reader] | None = None
    ) -> None:
        self.seed = seed
        self.readers = open_readers(configs) if readers is None else readers
        self.names: dict[Task, list[str]] = {task: [] for task in TASKS}
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

    @property
    def tasks(self) -> list[Task]:
        """The tasks that some reader serves."""
        return list(self.orders)

    def describe(self) -> str:
        """Every source with its number of samples and what it is used for."""
        uses = {name: [task for task in TASKS if name in self.names[task]] for name in self.readers}
        return "; ".join(f"{name}: {len(self.readers[name]):,} for {', '.join(tasks)}" for name, tasks in uses.items())

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

    def examples(self, count: int, fits: Callable[[str], bool] = bool) -> list[GenerationSample]:
        """The first ``count`` images with a prompt that ``fits``, of the first source that has some, for previews."""
        rng = np.random.default_rng(self.seed)
        for reader in (self.readers[name] for name in self.names["generation"]):
            found: list[GenerationSample] = []
            for item in range(len(reader)):
                try:
                    sample = reader.generation(item, rng)
                    if fits(sample.prompt):
                        found.append(sample)
                except ValueError:
                    continue
                if len(found) == count:
                    break
            if found:
                return found
        raise ValueError("preview.examples shows captioned images; the data has none")

    def check_latents(self, codec: ImageCodec, size: int) -> None:
        """Raise ``ValueError`` where stored latents are not those that ``codec`` gives at ``size`` pixels."""
        for reader in self.readers.values():
            if isinstance(reader, CaptionedImages) and reader.latents is not None:
                reader.latents.check(codec, size)

    def _pick(self, task: Task, index: int) -> tuple[Reader, int, np.random.Generator]:
        if task not in self.orders:
            raise ValueError(f"the mixture wants {task} samples, and no source gives any")
        source, place = self.orders[task][index]
        reader = self.readers[self.names[task][source]]
        key = (self.seed, TASKS.index(task), source)
        return reader, Shuffle(len(reader), key)[place], np.random.default_rng((*key, place))
