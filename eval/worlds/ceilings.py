"""``python -m eval.worlds.ceilings CODEC``: what an image codec alone costs, and how far a cast's detector can be
trusted: rendered scenes, as they are or through a codec, judged by the rules that judge drawings.

No model that draws in a codec's latents can be expected to score above it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from eval.geneval.score import score_image
from eval.worlds.benchmark import BENCHMARK_SEED, HELD_OUT, IN_DISTRIBUTION, prompt_of, scenes_of, tags_of
from eval.worlds.judge import DETECTORS
from janusflow.codecs.base import ImageCodec
from janusflow.command_line import Parser
from janusflow.data.transforms import to_images, to_tensor
from janusflow.worlds.scenes import World, sample_scene

SCENES = 200  # of each split
SCENE_SEED = 3
BATCH = 32

Wear = Callable[[Image.Image, np.random.Generator], Image.Image]


def blurred(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Blur of 0.6 pixels at 48."""
    return image.filter(ImageFilter.GaussianBlur(0.6 * image.width / 48))


def noisy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Noise of 8 levels."""
    levels = np.asarray(image, np.float32) + rng.normal(0, 8, (image.height, image.width, 3))
    return Image.fromarray(levels.clip(0, 255).round().astype(np.uint8))


def compressed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """JPEG of quality 75."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return Image.open(buffer).convert("RGB")


WEARS: dict[str, Wear] = {"blurred": blurred, "noisy": noisy, "compressed": compressed}


def through(codec: ImageCodec) -> Callable[[Sequence[Image.Image]], list[Image.Image]]:
    """What the codec leaves of pictures."""

    @torch.inference_mode()
    def passed(images: Sequence[Image.Image]) -> list[Image.Image]:
        return to_images(codec.decode(codec.encode(torch.stack([to_tensor(image) for image in images]))))

    return passed


def ceiling(
    world: World,
    split: str,
    change: Callable[[Sequence[Image.Image]], Sequence[Image.Image]],
    side: int | None = None,
    scenes: int = SCENES,
) -> dict[str, float]:
    """Share of rendered scenes whose pictures, changed, meet their own prompts; and the change's PSNR in dB."""
    tags = tags_of(world, split)
    right, errors = 0, []
    for first in range(0, scenes, BATCH):
        prompts, images = [], []
        for index in range(first, min(first + BATCH, scenes)):
            rng = np.random.default_rng([BENCHMARK_SEED, SCENE_SEED, index])
            scene = sample_scene(rng, tags[index % len(tags)], scenes_of(split), world)
            prompts.append(prompt_of(scene, rng))
            images.append(scene.render(side))
        changed = change(images)
        for prompt, seen in zip(prompts, DETECTORS[world.cast](changed), strict=True):
            right += score_image(seen, prompt).correct
        errors += [
            np.square(np.asarray(one, np.float32) - np.asarray(other, np.float32)).mean()
            for one, other in zip(images, changed, strict=True)
        ]
    mse = float(np.mean(errors))
    return {"rules": right / scenes, "psnr_db": 10 * float(np.log10(255**2 / mse)) if mse else float("inf")}


def main(argv: list[str] | None = None) -> int:
    """Measure and print; note it in the card beside the codec, if asked to."""
    from janusflow.checkpoints.codecs import load_codec

    parser = Parser(prog="python -m eval.worlds.ceilings", description=__doc__)
    parser.add_argument("codec", nargs="*", type=Path, help="image codec (default: the detector alone)")
    parser.add_argument("--cast", nargs="+", default=["shapes", "objects"], help="casts to draw scenes of")
    parser.add_argument("--level", default="free", help="how things are placed")
    parser.add_argument("--scenes", type=int, default=SCENES, help="scenes of each split")
    parser.add_argument("--card", action="store_true", help="add the figures to card.json in the codec's parent folder")
    args = parser.parse_args(argv)
    try:
        worlds = [World(cast, args.level) for cast in args.cast]
        codecs = {path: load_codec(str(path)) for path in args.codec}
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    rng = np.random.default_rng(0)
    changes: dict[str, Callable[[Sequence[Image.Image]], Sequence[Image.Image]]] = {
        "as rendered": lambda images: images,
        **{name: lambda images, wear=wear: [wear(one, rng) for one in images] for name, wear in WEARS.items()},  # type: ignore[misc]
    }
    if codecs:
        changes = {str(path): through(codec) for path, codec in codecs.items()}
    for name, change in changes.items():
        found = {
            f"{world}, {split.replace('_', ' ')}": ceiling(world, split, change, scenes=args.scenes)
            for world in worlds
            for split in (IN_DISTRIBUTION, HELD_OUT)
        }
        for where, figures in found.items():
            print(f"{name}: {where}: rules {figures['rules']:.3f}, PSNR {figures['psnr_db']:.1f} dB", flush=True)
        if args.card and codecs:
            note(Path(name), found)
    return 0


def note(codec: Path, found: dict[str, dict[str, float]]) -> None:
    """Add the figures to the codec's entry in the card beside it."""
    path = codec.parent / "card.json"
    card = json.loads(path.read_text()) if path.exists() else {}
    noted = card.setdefault(codec.name, {}).setdefault("reconstructions", {})
    for where, figures in found.items():
        noted[where] = {name: round(value, 3) for name, value in figures.items()}
    path.write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
