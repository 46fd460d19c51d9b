"""What a run's training data is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from janusflow.config import Choice, from_dict
from janusflow.registry import Registry

if TYPE_CHECKING:
    from janusflow.data.readers.base import Reader

Task = Literal["understanding", "generation", "text", "reconstruction", "editing"]
TASKS: tuple[Task, ...] = ("understanding", "generation", "text", "reconstruction", "editing")

SOURCES: Registry[type[Reader]] = Registry(
    "source",
    "janusflow.sources",
    {
        "webdataset": "janusflow.data.readers.webdataset:WebDatasetReader",
        "folder": "janusflow.data.readers.folder:FolderReader",
        "parquet": "janusflow.data.readers.parquet:ParquetReader",
        "conversations": "janusflow.data.readers.conversations:ConversationReader",
        "documents": "janusflow.data.readers.conversations:DocumentReader",
        "text": "janusflow.data.readers.text:TextReader",
        "pairs": "janusflow.data.readers.pairs:PairsReader",
        "edits": "janusflow.data.readers.edits:EditsReader",
        "world": "janusflow.worlds.source:WorldReader",
    },
)
# All keys that sources had, of whatever kind, before each kind had its own -> their defaults.
COMMON_KEYS = {
    "images": None,
    "min_side": 0,
    "score_field": None,
    "min_score": 0.0,
    "image_column": None,
    "caption_column": None,
    "cached_latents": False,
}
WORLD_KEYS = ("turns", "caption_share", "long_captions")  # which stood beside the sources


@dataclass(kw_only=True)
class SourceConfig(Choice):
    """A source of samples. ``kind`` names its reader, whose ``Config`` adds the keys of its own."""

    registry = SOURCES
    tasks: list[Task] | None = None  # what it is used for (default: all that its reader serves)
    weight: float = 1.0  # its share of each of its tasks, relative to the other sources'; 0: it stays closed

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError(f"a source's weight is 0 or more, got {self.weight}")

    def check_files(self) -> None:
        """Raise ``ValueError``, key first, for files that are not there. Nothing is opened or fetched."""

    def at(self, image_size: int) -> SourceConfig:
        """This source in a run whose images have that side."""
        return self

    def shaped(self, buckets: list[list[int]]) -> SourceConfig:
        """This source in a run whose generated images have these shapes, [height, width] in pixels."""
        return self


def _respelled(entry: Any, kind: str | None) -> Any:
    """A source by the keys that its kind has now; ``kind`` is its own where it names none."""
    if isinstance(entry, dict) and entry.keys() >= COMMON_KEYS.keys():
        entry = {key: value for key, value in entry.items() if key not in COMMON_KEYS or value != COMMON_KEYS[key]}
    if isinstance(entry, dict) and entry.get("kind", kind) == "shapes":
        entry = {"cast": "shapes", "level": "fixed", **entry, "kind": "world"}
    return entry


def source_config(kind: str, **keys: Any) -> SourceConfig:
    """The configuration of a source. Raises ``ValueError`` for a kind that there is not, or a key that it has not."""
    return from_dict(SOURCES.load(kind).Config, {"kind": kind, **keys}, f"the source {kind}")


@dataclass
class DataConfig:
    """Sources of samples and their form. Without ``sources`` the world of shapes is the data."""

    sources: dict[str, SourceConfig] = field(default_factory=dict)  # by a name of your own
    image_size: int = 48  # pixels
    # Shapes of generated images, [height, width] in pixels: each image takes that of the nearest aspect ratio, cut
    # centrally. None: squares of image_size. What understanding sees stays square.
    buckets: list[list[int]] = field(default_factory=list)
    max_length: int | None = None  # tokens of a packed row (default: the model's max_positions)
    prompt_drop: float = 0.1  # share of prompts dropped for classifier-free guidance (Sec. 3.4)
    held_out: int = 32  # samples of each source that never train, for validation; a tenth where a source is small
    max_faults: float = 0.05  # share of samples that may be unreadable, after the first 1,000; more stops the run
    workers: int = 1  # processes that make batches ahead of the trainer, on each rank

    def __post_init__(self) -> None:
        for name in ("prompt_drop", "max_faults"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"data.{name} is a share in [0, 1], got {getattr(self, name)}")
        self._check_buckets()
        if self.held_out < 0:
            raise ValueError(f"data.held_out must be 0 or more, got {self.held_out}")
        if self.workers < 0:
            raise ValueError(f"data.workers must be 0 or more, got {self.workers}")
        if self.max_length is not None and self.max_length < 1:
            raise ValueError(f"data.max_length must be at least 1, got {self.max_length}")

    def _check_buckets(self) -> None:
        """Raise ``ValueError`` for shapes that are none, twice the same, or not for the sources."""
        for one in self.buckets:
            if len(one) != 2 or min(one) < 1:
                raise ValueError(f"data.buckets lists shapes [height, width] of at least 1 pixel, got {one}")
            if self.buckets.count(one) > 1:
                raise ValueError(f"data.buckets has {one} twice")
        if self.buckets and any(source.kind == "pairs" for source in self.used_sources.values()):
            raise ValueError("pairs are squares: they do not go with data.buckets")

    @property
    def drawn_size(self) -> int | list[list[int]]:
        """Pixels of generated images: the side of a square, or the shapes."""
        return self.buckets or self.image_size

    @staticmethod
    def respell(values: dict[str, Any], below: dict[str, Any]) -> dict[str, Any]:
        """Earlier files and commands: a source had every key of all kinds, and the shapes world, which was of the level
        "fixed", had its keys here."""
        values = dict(values)
        own = {key: values.pop(key) for key in WORLD_KEYS if key in values}
        there = below.get("sources") or {}
        if own and not values.get("sources"):  # of worlds alone; the other sources stay
            kept = {name: own if one.get("kind", name) == "world" else {} for name, one in there.items()}
            values["sources"] = kept or {"shapes": own}
        sources = values.get("sources")
        if isinstance(sources, dict):
            values["sources"] = {
                name: _respelled(entry, None if name in there else name) for name, entry in sources.items()
            }
        return values

    @property
    def used_sources(self) -> dict[str, SourceConfig]:
        """The sources with a weight above 0; the others are neither opened nor checked."""
        sources = self.sources or {"world": source_config("world")}
        used = {name: config.at(self.image_size) for name, config in sources.items() if config.weight > 0}
        return {name: config.shaped(self.buckets) for name, config in used.items()} if self.buckets else used

    @property
    def offered_tasks(self) -> set[Task]:
        """The tasks that there are samples for, without opening anything."""
        return {
            task for config in self.used_sources.values() for task in config.tasks or SOURCES.load(config.kind).tasks
        }
