"""The models of the page: known by their configuration at once, loaded when first used."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from janusflow.checkpoints.layouts import FolderConfig
from janusflow.checkpoints.pretrained import Bundle, read_config
from janusflow.options import SamplingOptions
from janusflow.serve.process import public_name
from janusflow.weights import SHIPPED, model_folder


class Shown:
    """A model by its name on the command line. Raises ``ValueError`` where there is none."""

    def __init__(self, model: str, load: Callable[[str], Bundle], revision: str | None = None) -> None:
        self.model, self.load, self.name = model, load, public_name(model)
        self.config: FolderConfig = read_config(model_folder(model, revision))

    @cached_property
    def bundle(self) -> Bundle:
        """It, loaded."""
        return self.load(self.model)

    @property
    def usual(self) -> SamplingOptions:
        """How it draws where nothing is said."""
        return self.config.model.head.sampling(self.config.sampling)

    @property
    def kind(self) -> type[SamplingOptions]:
        """The options of its head."""
        return type(self.usual)

    @property
    def side(self) -> int:
        """Pixels of its pictures, along a side."""
        return self.config.model.vision.image_size

    @property
    def edits(self) -> bool:
        """Whether it has learnt to change pictures: then it says itself how much they guide it."""
        return getattr(self.usual, "image_guidance", None) is not None

    @property
    def about(self) -> str:
        """It in a few words."""
        return f"**{self.name}**, {self.config.model.head.head_class.family}, {self.side} px"

    def examples(self) -> list[str]:
        """Prompts to begin with."""
        if self.config.world is None:
            return ["a lighthouse at dusk", "a red cube on a blue table", "a bowl of oranges, oil on canvas"]
        from janusflow.worlds.scenes import World
        from janusflow.worlds.source import captions_of

        return captions_of(World(self.config.world), 6)


def counterpart(model: str) -> str | None:
    """A shipped model to compare with ``model``, where there is one."""
    return next((name for name, folder in SHIPPED.items() if name != model and folder.exists()), None)
