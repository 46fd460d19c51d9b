"""The shapes world as training data: samples by index, for each of the three tasks."""

from __future__ import annotations

import numpy as np

from janusflow.data.config import TASKS, DataConfig
from janusflow.data.sample import GenerationSample, TextSample, UnderstandingSample
from janusflow.worlds.shapes.captions import long_caption, short_caption, text_line
from janusflow.worlds.shapes.questions import sample_question
from janusflow.worlds.shapes.render import render
from janusflow.worlds.shapes.scenes import sample_scene

CAPTION_REQUEST = "generate the caption of this picture."


class ShapesSource:
    """Training samples of the world, a pure function of (seed, task, index). Held-out compositions never occur."""

    tasks = TASKS

    def __init__(self, config: DataConfig, seed: int) -> None:
        self.config = config
        self.seed = seed

    def describe(self) -> str:
        """What it is."""
        return f"the shapes world at {self.config.image_size} pixels, endless"

    def understanding(self, index: int) -> UnderstandingSample:
        """A picture with a few questions, or a request for its caption."""
        rng = self._rng(0, index)
        scene = sample_scene(rng)
        image = render(scene, self.config.image_size)
        if rng.random() < self.config.caption_share:
            return UnderstandingSample([image], [(CAPTION_REQUEST, long_caption(scene, rng))])
        questions = (sample_question(scene, rng) for _ in range(self.config.turns))
        return UnderstandingSample([image], [(question.text, question.answer) for question in questions])

    def generation(self, index: int, first_sentence: float) -> GenerationSample:
        """A picture with a prompt; a share ``first_sentence`` of the captions is cut to one sentence."""
        rng = self._rng(1, index)
        scene = sample_scene(rng)
        caption = long_caption(scene, rng) if rng.random() < self.config.long_captions else short_caption(scene, rng)
        if rng.random() < first_sentence:
            caption = caption.split(".")[0]
        return GenerationSample(render(scene, self.config.image_size), caption)

    def text(self, index: int) -> TextSample:
        """A line of text."""
        return TextSample(text_line(self._rng(2, index)))

    def _rng(self, task: int, index: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, task, index])
