"""The detector of the objects world: a small network that reads things, boxes and colours off a picture.

One feature map with four pixels a cell; a cell near a thing's centre says that one is there, which, in what box and of
what colour (Zhou et al. 2019, "Objects as Points", with boxes in place of their heat maps' peaks).

Legend: B pictures, S side of the picture, (h, w) cells, K classes, N colours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import safe_open
from torch import Tensor, nn
from torchvision.ops import batched_nms

from eval.geneval.score import Detection
from janusflow.worlds.objects import classes
from janusflow.worlds.vocabulary import COLORS

FILE = Path(__file__).parent / "detector.safetensors"
SIDE = 64  # pixels that pictures are looked at with
STRIDE = 4  # pixels a cell
SEEN = 0.1  # less is not reported
OVERLAP = 0.5  # boxes that overlap by more are one thing
BATCH = 128


class Readings(NamedTuple):
    """What every cell says: logits of a thing (B, h, w), of its class (B, K, h, w) and colour (B, N, h, w); distances
    of the box's sides from the cell's centre (B, 4, h, w), over the picture's side."""

    thing: Tensor
    name: Tensor
    color: Tensor
    box: Tensor


class Block(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(inner)))


def down(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Half the side."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class Detector(nn.Module):
    """Pictures (B, 3, S, S) in [-1, 1] -> :class:`Readings`."""

    WIDTHS = (40, 80, 160)

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = self.WIDTHS
        self.fine = nn.Sequential(down(3, fine, 5), Block(fine))
        self.middle = nn.Sequential(down(fine, middle), Block(middle), Block(middle))
        self.coarse = nn.Sequential(down(middle, coarse), Block(coarse), Block(coarse))
        self.wide = nn.Conv2d(coarse, middle, 1)
        self.joined = Block(middle)
        self.read = nn.Conv2d(middle, 5 + len(classes()) + len(COLORS), 1)
        assert self.read.bias is not None
        nn.init.constant_(self.read.bias[:1].detach(), -3.0)

    def forward(self, pixels: Tensor) -> Readings:
        middle = self.middle(self.fine(pixels))
        wide = F.interpolate(self.wide(self.coarse(middle)), scale_factor=2.0)
        thing, box, name, color = self.read(self.joined(middle + wide)).split([1, 4, len(classes()), len(COLORS)], 1)
        return Readings(thing[:, 0], name, color, box)


def cell_centers(cells: int) -> Tensor:
    """Centres (cells,) of the cells along a side, over the side."""
    return (torch.arange(cells) + 0.5) / cells


@cache
def detector() -> Detector:
    """The shipped detector. Raises ``ValueError`` where it was trained for other things."""
    model = Detector()
    with safe_open(FILE, "pt") as file:
        if json.loads(file.metadata()["classes"]) != list(classes()):
            raise ValueError(f"{FILE} was trained for other things than the drawings show")
        model.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118
    return model.eval()


@torch.inference_mode()
def detect(images: Sequence[Image.Image], model: Detector | None = None) -> list[list[Detection]]:
    """The things in square pictures, those of each picture by falling score; boxes in pixels of the picture."""
    model = model or detector()
    found = []
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        readings = model(torch.stack([to_pixels(image) for image in part]))
        found += [things(readings, number, image.width) for number, image in enumerate(part)]
    return found


def to_pixels(image: Image.Image) -> Tensor:
    """(3, S, S) in [-1, 1] at the detector's side. Raises ``ValueError`` where the picture is not square."""
    if image.width != image.height:
        raise ValueError(f"expected a square picture, got {image.width} x {image.height}")
    if image.width != SIDE:
        image = image.resize((SIDE, SIDE), Image.Resampling.BOX if image.width > SIDE else Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1) / 127.5 - 1


def things(readings: Readings, number: int, side: int) -> list[Detection]:
    """What the cells of one picture say, each thing once."""
    certain, which = readings.name[number].softmax(0).max(0)
    scores = (readings.thing[number].sigmoid() * certain).flatten()
    boxes = cell_boxes(readings.box[number])
    seen = scores > SEEN
    scores, boxes, which = scores[seen], boxes[seen], which.flatten()[seen]
    colors = readings.color[number].argmax(0).flatten()[seen]
    kept = batched_nms(boxes, scores, torch.zeros_like(which), OVERLAP)
    names = list(COLORS)
    return [
        Detection(
            classes()[which[index]],
            float(scores[index]),
            tuple((boxes[index].clamp(0, 1) * side).tolist()),
            names[colors[index]],
        )
        for index in kept.tolist()
    ]


def cell_boxes(distances: Tensor) -> Tensor:
    """Boxes (h * w, 4) x0, y0, x1, y1 from the cells' distances (4, h, w), over the picture's side."""
    cells = distances.shape[-1]
    y, x = torch.meshgrid(cell_centers(cells), cell_centers(cells), indexing="ij")
    left, top, right, bottom = distances
    return torch.stack([x - left, y - top, x + right, y + bottom], -1).flatten(0, 1)
