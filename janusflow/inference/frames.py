"""A picture while it is drawn: what it promises to become, step after step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from janusflow.checkpoints.pretrained import Bundle
from janusflow.data.transforms import to_images
from janusflow.inference.images import sample_latents
from janusflow.models.head import Glimpse
from janusflow.options import SamplingOptions
from janusflow.samplers import OnStep

COVER = (128, 128, 128)  # of what is not drawn yet


class Frame(NamedTuple):
    """A moment of a drawing."""

    image: Image.Image
    text: str  # when it is


def watch(
    bundle: Bundle,
    prompt: str,
    seed: int,
    options: SamplingOptions,
    most: int = 25,
    on_step: OnStep | None = None,
) -> list[Frame]:
    """The frames of a drawing, ``most`` of them at most, evenly over its steps; the last one is the picture.

    A frame shows the clean image that the head predicts by then (see :meth:`GenerationHead.glimpse`). Raises
    ``ValueError`` as :func:`~janusflow.inference.images.generate_images`.
    """
    head = bundle.model.head
    before = head.start([seed], bundle.model.llm.device)
    glimpses: list[Glimpse] = []

    def look(done: int, total: int, latents: Tensor) -> None:
        nonlocal before
        if done * most // total > (done - 1) * most // total:
            glimpses.append(head.glimpse(before, latents, done, options))
        before = latents
        if on_step is not None:
            on_step(done, total, latents)

    (latents,) = sample_latents(bundle, [prompt], [seed], options, 1, on_step=look)
    if not glimpses:  # a head that draws at once
        glimpses.append(Glimpse(latents, head.num_tokens, "at once"))
    return [Frame(picture(bundle, glimpse), glimpse.text) for glimpse in glimpses]


@torch.inference_mode()
def picture(bundle: Bundle, glimpse: Glimpse) -> Image.Image:
    """What a glimpse shows, with what is not drawn yet under a cover."""
    (image,) = to_images(bundle.required_codec.decode(glimpse.latents))
    grid, pen = bundle.model.head.config.grid, ImageDraw.Draw(image)
    cell = image.width // grid
    for place in range(glimpse.drawn, grid**2):
        row, column = divmod(place, grid)
        pen.rectangle((column * cell, row * cell, (column + 1) * cell - 1, (row + 1) * cell - 1), COVER)
    return image
