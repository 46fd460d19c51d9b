"""Sample grids while a model trains: prompts of one's own, and training images beside drawings of their captions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from PIL import Image
from torchmetrics.functional.image import peak_signal_noise_ratio

from janusflow.checkpoints.pretrained import Bundle
from janusflow.codecs.base import ImageCodec
from janusflow.data.buckets import nearest
from janusflow.data.sample import GenerationSample
from janusflow.data.transforms import generation_pixels, to_images
from janusflow.inference.images import generate_images
from janusflow.pictures import grid
from janusflow.progress import progress_bar
from janusflow.training import checkpoints
from janusflow.training.config import PreviewConfig
from janusflow.training.module import UnifiedModule


class Previews(L.Callback):
    """Draws the preview prompts and examples with the averaged weights into ``samples/{stage}-{step}.png``."""

    def __init__(
        self,
        bundle: Bundle,
        config: PreviewConfig,
        folder: Path,
        stage: str,
        examples: Sequence[GenerationSample] = (),
        sizes: Sequence[Sequence[int]] = (),
    ) -> None:
        """``sizes``: shapes that are drawn in, in turn (height, width; default: the model's square)."""
        self.bundle, self.config, self.folder, self.stage = bundle, config, folder, stage
        self.examples, self.sizes = examples, sizes

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any) -> None:
        assert isinstance(pl_module, UnifiedModule)
        done = pl_module.steps_done
        if pl_module.is_last_step or (self.config.every and done % self.config.every == 0):
            self.draw(pl_module, done)

    def draw(self, module: UnifiedModule, step: int) -> None:
        """Write the grid of the weights as they are now. The main process draws, all must call it."""
        if not self.config.prompts and not self.examples:
            return
        model = checkpoints.whole_model(module)
        if model is None:
            return
        training = model.training
        with torch.compiler.set_stance("force_eager"):  # without an average these are the blocks that train
            bundle = dataclasses.replace(self.bundle, model=model.eval())
            picture = draw_grid(bundle, self.config, self.examples, self.sizes)
        model.train(training)
        self.folder.mkdir(parents=True, exist_ok=True)
        picture.save(self.folder / f"{self.stage}-{step:06d}.png")
        for logger in module.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("samples", np.asarray(picture), step, dataformats="HWC")
            elif isinstance(logger, WandbLogger):
                logger.log_image("samples", [picture])


def draw_grid(
    bundle: Bundle,
    config: PreviewConfig,
    examples: Sequence[GenerationSample] = (),
    sizes: Sequence[Sequence[int]] = (),
) -> Image.Image:
    """A row of ``config.images`` seeds for each prompt; an example's row begins with its image through the codec.

    sizes: an example is drawn in the shape (height, width) that is nearest to its image, prompts in all of them in
    turn.
    """
    side = bundle.model.config.vision.image_size
    shapes = [(height, width) for height, width in sizes] or [(side, side)]
    rows_of = [nearest(shapes, *example.image.size) for example in examples if example.image is not None]
    rows_of += [number % len(shapes) for number in range(len(config.prompts))]
    captions = [*(example.prompt for example in examples), *config.prompts]
    shown = [*(next(iter(example.images), None) for example in examples), *(None for _ in config.prompts)]
    prompts = [caption for caption in captions for _ in range(config.images)]
    images = [image for image in shown for _ in range(config.images)]
    seeds = [config.seed + column for _ in captions for column in range(config.images)]
    options = bundle.model.head.config.sampling(bundle.sampling, config.sampling)
    found: dict[int, Image.Image] = {}
    with progress_bar("preview", "step", leave=False) as progress:
        for number, size in enumerate(shapes):
            own = [place for place in range(len(prompts)) if rows_of[place // config.images] == number]
            drawn_now = generate_images(
                bundle,
                [prompts[place] for place in own],
                [seeds[place] for place in own],
                options,
                progress=progress,
                images=[images[place] for place in own],
                size=None if size == (side, side) else size,
            )
            found |= zip(own, drawn_now, strict=True)
    drawn = [found[place] for place in range(len(prompts))]
    if not examples:
        return grid(drawn, config.images, captions)
    firsts = [Image.new("RGB", drawn[0].size, "white") for _ in captions]
    for row, example in enumerate(examples):
        assert example.image is not None, "examples are pictures"
        firsts[row], decibels = through_codec(bundle.required_codec, example.image, shapes[rows_of[row]])
        captions[row] = f"{example.prompt}   (first: the codec, {decibels:.1f} dB)"
    rows = [drawn[start : start + config.images] for start in range(0, len(drawn), config.images)]
    cells = [image for first, row in zip(firsts, rows, strict=True) for image in (first, *row)]
    return grid(cells, 1 + config.images, captions)


def through_codec(codec: ImageCodec, image: Image.Image, size: tuple[int, int]) -> tuple[Image.Image, float]:
    """What the codec keeps of an image's central part at ``size`` (height, width) pixels, and its PSNR in dB."""
    pixels = generation_pixels(image, size).unsqueeze(0).to(codec.device)
    decoded = codec.decode(codec.encode(pixels), (size[0] // codec.factor, size[1] // codec.factor))
    return to_images(decoded)[0], float(peak_signal_noise_ratio(decoded, pixels, data_range=(-1.0, 1.0)))
