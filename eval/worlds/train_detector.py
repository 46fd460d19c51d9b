"""``python -m eval.worlds.train_detector``: train the detector of the objects world on rendered scenes."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from safetensors.torch import save_file
from torch import Tensor

from eval.worlds.detector import FILE, SIDE, STRIDE, Detector, cell_centers, to_pixels
from janusflow.checkpoints.codecs import load_codec
from janusflow.codecs.base import ImageCodec
from janusflow.command_line import Parser
from janusflow.parts.loop import fit
from janusflow.weights import follow_umask
from janusflow.worlds.objects import classes, upright
from janusflow.worlds.scenes import Scene, Split, World, sample_scene
from janusflow.worlds.vocabulary import COLORS

WORLD = World("objects", "free")
BATCH = 64
LR = 2e-3
NEAR, FAR = 0.8, 1.8  # cells from a thing's centre: below, the cell says it; above, it says that nothing is there
CELLS = SIDE // STRIDE
BLURRED, NOISY, JPEG, CODED = 0.25, 0.25, 0.15, 0.5  # shares of the pictures
HELD_OUT = 0.2  # share of scenes that models never train on: the detector may know them
DOMINANT = 0.6  # share of a drawing's pixels that must be nearest to a colour for it to have that colour


@cache
def own_color(name: str, style: str) -> int:
    """The colour that most of an untinted drawing has; -1 where none has most."""
    pixels = np.asarray(upright(name, style), np.float32)
    opaque = pixels[pixels[..., 3] > 128, :3]
    nearest = np.square(opaque[:, None] - np.array(list(COLORS.values()), np.float32)).sum(-1).argmin(-1)
    share = np.bincount(nearest, minlength=len(COLORS)) / len(nearest)
    return int(share.argmax()) if share.max() >= DOMINANT else -1


def targets(scene: Scene) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """For each cell: 1 thing, 0 none, -1 either (h, w); class and colour, -1 where it does not matter (h, w); box
    distances (4, h, w)."""
    y, x = torch.meshgrid(cell_centers(CELLS), cell_centers(CELLS), indexing="ij")
    thing, name, color = torch.zeros(CELLS, CELLS), *torch.full((2, CELLS, CELLS), -1, dtype=torch.long)
    box = torch.zeros(4, CELLS, CELLS)
    for one in scene.objects:
        x0, y0, x1, y1 = one.box
        away = ((x - (x0 + x1) / 2) ** 2 + (y - (y0 + y1) / 2) ** 2).sqrt() * CELLS
        thing[(away < FAR) & (thing == 0)] = -1
        near = away < NEAR
        thing[near] = 1
        name[near] = classes().index(one.name)
        color[near] = list(COLORS).index(one.color) if one.color else own_color(one.name, scene.style)
        box[:, near] = torch.stack([x - x0, y - y0, x1 - x, y1 - y])[:, near]
    return thing, name, color, box


def worn(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The picture, at times blurred, noisy or compressed."""
    if rng.random() < BLURRED:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.0)))
    if rng.random() < NOISY:
        levels = np.asarray(image) + rng.normal(0, rng.uniform(1, 14), (image.height, image.width, 3))
        image = Image.fromarray(levels.clip(0, 255).round().astype(np.uint8))
    if rng.random() < JPEG:
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=int(rng.integers(50, 95)))
        image = Image.open(buffer).convert("RGB")
    return image


def scenes(seed: int, first: int, count: int) -> list[Tensor]:
    """Rendered scenes, worn, (count, 3, S, S), and their :func:`targets`, stacked."""
    samples = []
    for index in range(first, first + count):
        rng = np.random.default_rng([seed, index])
        split: Split = "held_out" if rng.random() < HELD_OUT else "train"
        scene = sample_scene(rng, None, split, WORLD)
        samples.append((to_pixels(worn(scene.render(SIDE), rng)), *targets(scene)))
    return [torch.stack(column) for column in zip(*samples, strict=True)]


def coded(pixels: Tensor, codecs: Sequence[ImageCodec], step: int) -> Tensor:
    """The batch with some of its pictures as one of the codecs leaves them."""
    if not codecs:
        return pixels
    share = round(CODED * len(pixels))
    codec = codecs[step % len(codecs)]
    return torch.cat([codec.decode(codec.encode(pixels[:share])).clamp(-1, 1).float(), pixels[share:]])


def loss(model: Detector, pixels: Tensor, thing: Tensor, name: Tensor, color: Tensor, box: Tensor) -> Tensor:
    """Cross entropies of things, classes and colours, and the boxes' mean distance."""
    said = model(pixels)
    sure = thing >= 0
    presence = F.binary_cross_entropy_with_logits(said.thing[sure], thing[sure], reduction="sum") / (thing == 1).sum()
    names = F.cross_entropy(said.name, name, ignore_index=-1)
    colors = F.cross_entropy(said.color, color, ignore_index=-1)
    near = (thing == 1).unsqueeze(1).expand_as(box)
    return presence + names + 0.5 * colors + 5 * (said.box - box)[near].abs().mean()


def main(argv: list[str] | None = None) -> int:
    """Train, and write the weights in half precision; killed, the same command goes on."""
    parser = Parser(prog="python -m eval.worlds.train_detector", description=__doc__)
    parser.add_argument("--steps", type=int, default=4000, help=f"training steps of {BATCH} scenes")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and scenes")
    parser.add_argument("--codec", nargs="*", default=[], help="image codecs whose reconstructions it is to read, too")
    parser.add_argument("--out", type=Path, default=FILE, help="file to write")
    args = parser.parse_args(argv)
    torch.manual_seed(args.seed)
    try:
        codecs = [load_codec(path) for path in args.codec]
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    model = Detector().to(memory_format=torch.channels_last)

    def value(step: int) -> Tensor:
        pixels, *wanted = scenes(args.seed, step * BATCH, BATCH)
        with torch.no_grad():
            pixels = coded(pixels, codecs, step)
        return loss(model, pixels.to(memory_format=torch.channels_last), *wanted)

    state = args.out.with_suffix(".state")
    fit("detector", model, value, args.steps, LR, state)
    weights = {name: half(tensor) for name, tensor in model.state_dict().items()}
    save_file(weights, args.out, metadata={"classes": json.dumps(list(classes()))})
    follow_umask([args.out])
    state.unlink(missing_ok=True)
    return 0


def half(tensor: Tensor) -> Tensor:
    """Half precision, of what is no whole number."""
    return (tensor.half() if tensor.is_floating_point() else tensor).contiguous()


if __name__ == "__main__":
    raise SystemExit(main())
