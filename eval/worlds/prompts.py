"""A world's prompts for rollouts, with GenEval's conditions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eval.worlds.benchmark import prompt_of
from janusflow.inference.prompts import Prompt
from janusflow.rl.prompts import Prompts, PromptsConfig
from janusflow.worlds.placement import Level
from janusflow.worlds.scenes import World, sample_scene
from janusflow.worlds.vocabulary import GENEVAL_TAGS


@dataclass
class WorldPromptsConfig(PromptsConfig):
    """Endless prompts of GenEval's tags, in turn, about scenes that training may show."""

    kind: str = "world"
    cast: str = World.cast
    level: Level = "free"

    def __post_init__(self) -> None:
        World(self.cast, self.level)


class WorldPrompts(Prompts):
    """The training split's."""

    Config = WorldPromptsConfig

    def draw(self, seed: list[int], number: int, count: int) -> list[Prompt]:
        world = World(self.config.cast, self.config.level)
        prompts: dict[str, Prompt] = {}
        place = number * count
        while len(prompts) < count:
            rng = np.random.default_rng([*seed, place, len(prompts)])
            tag = GENEVAL_TAGS[place % len(GENEVAL_TAGS)]
            prompt = prompt_of(sample_scene(rng, tag, "train", world), rng)
            prompts.setdefault(prompt["prompt"], prompt)
            place += 1
        return list(prompts.values())

    def describe(self) -> str:
        return f"prompts of the {self.config.cast} world ({self.config.level}), endless"
