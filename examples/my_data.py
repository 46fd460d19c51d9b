"""A data source of one's own: captioned squares, made as they are asked for.

    python train.py configs/shapes.yaml name=grey "data.sources.mine={kind: 'my_data:Squares', grey: 255, weight: 1}"

So it is mixed with the configuration's own sources; ``'data.sources={mine: {…}}'`` names all sources at once.
"""

from dataclasses import dataclass

from PIL import Image

from janusflow.data.config import SourceConfig
from janusflow.data.readers.base import Reader
from janusflow.data.sample import GenerationSample, UnderstandingSample


class Squares(Reader):
    """Grey squares, by number. A reader is copied to worker processes: it holds paths and numbers, no open files."""

    @dataclass(kw_only=True)
    class Config(SourceConfig):
        """Its keys in YAML, beside ``kind``, ``tasks`` and ``weight``. One without a default must be given."""

        grey: int  # 0 to 255
        most: int = 60  # pixels of a side

        def __post_init__(self):
            super().__post_init__()
            if not 0 <= self.grey <= 255:
                raise ValueError(f"grey must lie in 0 .. 255, got {self.grey}")

    tasks = ("generation", "understanding")  # that it can serve; also "text", "reconstruction", "editing"

    def __init__(self, config):
        self.config = config

    def __len__(self):
        return 100

    def generation(self, item, rng):
        """A picture and its prompt. ``rng`` makes all choices: the same sample in every run and process.

        Raise ``ValueError`` that names the sample where it cannot be read: another one takes its place.
        """
        return GenerationSample(self.picture(rng), f"square {item}")

    def understanding(self, item, rng):
        """Pictures, and questions with their answers."""
        return UnderstandingSample([self.picture(rng)], [("what is it?", "a square")])

    def picture(self, rng):
        side = int(rng.integers(20, self.config.most + 1))
        return Image.new("RGB", (side, side), (self.config.grey,) * 3)
