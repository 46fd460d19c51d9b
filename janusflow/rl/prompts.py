"""Where the prompts of rollouts come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from janusflow.config import Choice
from janusflow.inference.prompts import Prompt, read_prompts
from janusflow.registry import Registry
from janusflow.worlds.casts import CASTS, cast_of
from janusflow.worlds.scenes import Group, groups_held_out

PROMPTS: Registry[type[Prompts]] = Registry(
    "source of prompts",
    "janusflow.prompts",
    {"file": "janusflow.rl.prompts:FilePrompts", "world": "eval.worlds.prompts:WorldPrompts"},
)


@dataclass
class PromptsConfig(Choice):
    """A source of prompts."""

    registry = PROMPTS

    def check_files(self) -> None:
        """Raise ``ValueError`` where files are missing."""


class Prompts(ABC):
    """Gives prompts; made as ``Source(config)``."""

    Config: ClassVar[type[PromptsConfig]]

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def draw(self, seed: list[int], number: int, count: int) -> list[Prompt]:
        """``count`` different prompts, the ones of round ``number``, which depend on nothing else but the seed."""

    def shown(self, count: int) -> Sequence[Prompt]:
        """Prompts that tell beforehand whether all will do: those of a round of ``count``.

        Raises ``ValueError`` where there are not so many.
        """
        return self.draw([0], 0, count)

    @abstractmethod
    def describe(self) -> str:
        """What they are, in a few words."""


@dataclass
class FilePromptsConfig(PromptsConfig):
    """A file: a prompt in each line, or with the ending .jsonl a mapping with ``prompt`` and what rewards ask."""

    kind: str = "file"
    path: str = ""
    held_out: bool = False  # may name compositions that a world's training never shows

    def check_files(self) -> None:
        if not Path(self.path).is_file():
            raise ValueError(f"path: there is no file {self.path!r}")


class FilePrompts(Prompts):
    """The prompts of a file, all of them once before any comes again, in an order of each turn's own."""

    Config = FilePromptsConfig

    def __init__(self, config: FilePromptsConfig) -> None:
        super().__init__(config)
        self.prompts = read_prompts(Path(config.path))
        for number, prompt in enumerate(self.prompts if not config.held_out else (), 1):
            where = f"{config.path}, prompt {number}"
            try:
                held_out = is_held_out(prompt)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
            if held_out:
                raise ValueError(
                    f"{where}: {prompt['prompt']!r} is a composition that training never shows; "
                    "rollout.prompts.held_out=true takes it all the same"
                )

    def shown(self, count: int) -> Sequence[Prompt]:
        super().shown(count)
        return self.prompts

    def draw(self, seed: list[int], number: int, count: int) -> list[Prompt]:
        if count > len(self.prompts):
            raise ValueError(f"{self.config.path} holds {len(self.prompts)} prompts, and a round asks {count}")
        chosen = []
        for place in range(number * count, (number + 1) * count):
            turn, index = divmod(place, len(self.prompts))
            order = np.random.default_rng([*seed, turn]).permutation(len(self.prompts))
            chosen.append(self.prompts[order[index]])
        return chosen

    def describe(self) -> str:
        return f"{len(self.prompts):,} prompts of {self.config.path}"


def is_held_out(prompt: Prompt) -> bool:
    """Whether a prompt with GenEval's conditions names what a world that has its things keeps from training.

    Raises ``ValueError`` where the conditions are none of GenEval's.
    """
    wanted = prompt.get("include") or []
    try:
        groups = tuple(Group(one["class"], one.get("color"), one.get("count", 1)) for one in wanted)
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"include needs mappings with a class, as GenEval has them, got {wanted!r:.60}") from None
    casts = [cast_of(name) for name in CASTS]
    return any(
        groups_held_out(cast, groups) for cast in casts if groups and {g.name for g in groups} <= set(cast.names)
    )
