"""A world as training data: samples by index, for every task."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from janusflow.data.config import TASKS, DataConfig, SourceConfig, Task
from janusflow.data.readers.base import HELD, Reader
from janusflow.data.sample import GenerationSample, TextSample, UnderstandingSample
from janusflow.models.shapes import size_text
from janusflow.worlds.captions import long_caption, short_caption, text_line
from janusflow.worlds.edits import sample_edit
from janusflow.worlds.placement import Level
from janusflow.worlds.questions import sample_question
from janusflow.worlds.scenes import World, frame_of, sample_scene

CAPTION_REQUEST = "generate the caption of this picture."


class WorldReader(Reader):
    """Endless samples of a world. Held-out compositions and constructions never occur."""

    @dataclass(kw_only=True)
    class Config(SourceConfig):
        cast: str = World.cast
        level: Level = World.level
        image_size: int | None = None  # pixels (default: the run's data.image_size)
        # Shapes of pictures that are drawn, [height, width], one of them at random (default: the run's data.buckets).
        shapes: list[list[int]] = field(default_factory=list)
        turns: int = 3  # questions in one understanding sample
        caption_share: float = 0.1  # share of understanding samples that ask for a caption instead
        long_captions: float = 0.1  # share of generation prompts that are long (before the cut to one sentence)

        def __post_init__(self) -> None:
            super().__post_init__()
            World(self.cast, self.level)
            if self.level != "free" and any(height != width for height, width in self.shapes):
                raise ValueError("pictures that are no squares are of the level 'free'")
            for name in ("caption_share", "long_captions"):
                if not 0 <= getattr(self, name) <= 1:
                    raise ValueError(f"{name} of a world is a share in [0, 1], got {getattr(self, name)}")
            if self.turns < 1:
                raise ValueError(f"turns of a world must be at least 1, got {self.turns}")

        def at(self, image_size: int) -> WorldReader.Config:
            return self if self.image_size else dataclasses.replace(self, image_size=image_size)

        def shaped(self, buckets: list[list[int]]) -> WorldReader.Config:
            return self if self.shapes else dataclasses.replace(self, shapes=buckets)

    tasks = TASKS

    def __init__(self, config: Config) -> None:
        self.config = config
        self.world = World(config.cast, config.level)

    def __len__(self) -> int:
        return sys.maxsize

    def describe(self, name: str, tasks: Sequence[Task]) -> str:
        shapes = " ".join(map(size_text, self.config.shapes))
        return f"the world {self.world} at {shapes or self.config.image_size} pixels, endless"

    def held_out(self, wanted: int) -> int:
        return wanted

    def pick_held(self, number: int, held: int) -> tuple[int, np.random.Generator]:
        """Scenes of a sequence of their own."""
        return number, np.random.default_rng((*HELD, number))

    def pick(self, key: tuple[int, int, int], place: int, held: int = 0) -> tuple[int, np.random.Generator]:
        """In order: what makes the choices makes the scene."""
        seed, task, source = key
        return place, np.random.default_rng([seed, task, *([source] if source else []), place])

    def understanding(self, item: int, rng: np.random.Generator) -> UnderstandingSample:
        """A picture with a few questions, or a request for its caption."""
        scene = sample_scene(rng, world=self.world)
        image = scene.render(self.config.image_size)
        if rng.random() < self.config.caption_share:
            return UnderstandingSample([image], [(CAPTION_REQUEST, long_caption(scene, rng))])
        questions = (sample_question(scene, rng) for _ in range(self.config.turns))
        return UnderstandingSample([image], [(question.text, question.answer) for question in questions])

    def generation(self, item: int, rng: np.random.Generator) -> GenerationSample:
        """A picture with a prompt."""
        shapes = self.config.shapes
        side = self.config.image_size or self.world.things.image_size
        height, width = shapes[rng.integers(len(shapes))] if shapes else (side, side)
        scene = sample_scene(rng, world=self.world, frame=frame_of(height, width))
        caption = long_caption(scene, rng) if rng.random() < self.config.long_captions else short_caption(scene, rng)
        return GenerationSample(scene.render((height, width)), caption)

    def editing(self, item: int, rng: np.random.Generator) -> GenerationSample:
        """A picture behind another one and the words that make it of that."""
        edit = sample_edit(rng, self.world)
        source, target = (scene.render(self.config.image_size) for scene in (edit.source, edit.target))
        return GenerationSample(target, edit.instruction, images=[source])

    def text(self, item: int, rng: np.random.Generator) -> TextSample:
        """A line of text."""
        return TextSample(text_line(rng, self.world))


def world_of(config: DataConfig) -> World | None:
    """The world that all sources in use are of, pairs aside; ``None`` where there is no such world."""
    worlds = {
        World(source.cast, source.level) if isinstance(source, WorldReader.Config) else None
        for source in config.used_sources.values()
        if source.kind != "pairs"
    }
    return worlds.pop() if len(worlds) == 1 else None


def captions_of(world: World, count: int, seed: int = 0) -> list[str]:
    """Short captions of ``count`` training scenes of a world."""
    rngs = (np.random.default_rng([seed, 5, index]) for index in range(count))
    return [short_caption(sample_scene(rng, world=world), rng) for rng in rngs]
