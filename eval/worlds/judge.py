"""The judges of a world's pictures, and the scores of their features: what needs a network.

Picture quality is the Fréchet distance on the cast's small SigLIP's features (not an FID), and its image-text
similarity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image

from eval.features.frechet import GaussianStats, frechet_distance
from eval.features.precision_recall import NEIGHBOURS, precision_recall
from eval.geneval.score import Detection
from eval.task import Drawing, Judge, Judged, Record
from eval.worlds import diversity
from eval.worlds.benchmark import BENCHMARK_SEED, scenes_of, tags_of
from janusflow.data.transforms import to_tensor
from janusflow.parts.siglip import FILE, SigLIP, load_siglip
from janusflow.weights import ASSETS, digest
from janusflow.worlds.casts import SQUARE, Frame, unit
from janusflow.worlds.scenes import World, sample_scene

FEATURE_BATCH = 128
REFERENCE, FLOOR, FITTING = 1, 2, 3  # seeds of rendered sets
FRAME = 2 / 48  # of the side: the border whose median colour is the background's


class WorldJudge(Judge):
    """The cast's detector, and its small SigLIP for features and the similarity of picture and prompt."""

    def __init__(self, cast: str) -> None:
        self.cast = cast

    @torch.inference_mode()
    def judge(self, drawings: Sequence[Drawing], images: Sequence[Image.Image]) -> list[Judged]:
        features = embed(self.cast, images)
        cosines = (features * siglip(self.cast).embed_texts([one.prompt for one in drawings])).sum(-1)
        return [
            Judged({**record, "cosine": cosine}, row)
            for record, cosine, row in zip(look(self.cast, images), cosines.tolist(), features.numpy(), strict=True)
        ]


def look(cast: str, images: Sequence[Image.Image]) -> list[Record]:
    """What the cast's detector sees on pictures, and the colour of their frames."""
    return [
        {"detections": [one._asdict() for one in found], "frame": frame_color(image), "side": unit(image.size)}
        for image, found in zip(images, DETECTORS[cast](images), strict=True)
    ]


def read_shapes(images: Sequence[Image.Image]) -> list[list[Detection]]:
    """What the oracle sees, in GenEval's form: the best last, as GenEval takes the last of equals first."""
    from eval.worlds.oracle import detect

    return [
        [Detection(found.shape, found.score, found.box, found.color) for found in reversed(seen)]
        for seen in (detect(image) if image.width == image.height else detect(image, oblong=True) for image in images)
    ]


def read_objects(images: Sequence[Image.Image]) -> list[list[Detection]]:
    """What the network sees, likewise."""
    from eval.worlds.detector import detect

    return [list(reversed(found)) for found in detect(images)]


DETECTORS: dict[str, Callable[[Sequence[Image.Image]], list[list[Detection]]]] = {
    "shapes": read_shapes,
    "objects": read_objects,
}


def describe_detector(cast: str) -> str:
    """The detector of a cast, with the hash of its weights where it has some."""
    if cast == "shapes":
        return "shapes oracle"
    from eval.worlds.detector import FILE as weights

    return f"objects detector {digest([weights])}"


def frame_color(image: Image.Image) -> list[float]:
    """The median colour of a picture's border, 8-bit levels."""
    pixels = np.asarray(image.convert("RGB"), np.float32)
    width = max(round(FRAME * unit(image.size)), 1)
    frame = np.ones(pixels.shape[:2], bool)
    frame[width:-width, width:-width] = False
    return np.median(pixels[frame], axis=0).tolist()


@cache
def siglip(cast: str) -> SigLIP:
    """The small SigLIP of a cast."""
    return load_siglip(ASSETS / cast)


def describe_siglip(cast: str) -> str:
    """The network of the features, with its hash."""
    return f"SigLIP {digest([ASSETS / cast / FILE])}"


def side(cast: str) -> int:
    """The pixels that pictures are looked at with."""
    return siglip(cast).config.image_size


def feature_scores(seen: Sequence[Judged], world: World, split: str, references: int, frame: Frame = SQUARE) -> Record:
    """Distances to rendered scenes, with their floors, and the mean similarity of pictures and prompts.

    A floor is the same of another rendered set, of as many scenes as there are images.
    """
    features = np.stack([one.features for one in seen if one.features is not None])
    count = len(features)
    return {
        "frechet_siglip": frechet(features, world, split, references, frame),
        "frechet_siglip_floor": floor(world, split, count, references, frame)["frechet"],
        "similarity": 100 * torch.tensor([one.record["cosine"] for one in seen]).mean().item(),
        **coverage(features, world, split, references, frame),
    }


def coverage(features: np.ndarray, world: World, split: str, references: int, frame: Frame = SQUARE) -> Record:
    """Recall of rendered scenes (k-NN), and the distance to the nearest of them, beside those of another rendered set;
    none of it where there are too few pictures."""
    if len(features) <= NEIGHBOURS:
        return {}
    real = rendered_features(world, split, references, REFERENCE, frame)
    least = floor(world, split, len(features), references, frame)
    return {
        "recall": precision_recall(features, real).recall,
        "recall_floor": least["recall"],
        "nearest": diversity.nearest(features, real),
        "nearest_floor": least["nearest"],
    }


def diversity_scores(
    prompts: Sequence[Mapping[str, Any]], seen: Sequence[Sequence[Judged]], world: World, frame: Frame = SQUARE
) -> Record:
    """How much the pictures of each prompt differ, relative to rendered scenes that fit it."""
    drawn, rendered = [], []
    for number, (prompt, pictures) in enumerate(zip(prompts, seen, strict=True)):
        if len(pictures) >= diversity.FEWEST:
            rows = np.stack([one.features for one in pictures if one.features is not None])
            drawn.append(diversity.spread([one.record for one in pictures], rows, prompt))
            rendered.append(rendered_spread(number, prompt, world, len(pictures), frame))
    return diversity.diversity(drawn, rendered) if drawn else {}


def rendered_spread(
    number: int, prompt: Mapping[str, Any], world: World, count: int, frame: Frame = SQUARE
) -> Mapping[str, float]:
    """How much ``count`` rendered scenes that fit a prompt differ."""
    rng = np.random.default_rng([BENCHMARK_SEED, FITTING, number])
    scenes = (diversity.scene_for(prompt, rng, world, frame) for _ in range(count))
    images = [scene.render(looked_at(world.cast, frame)) for scene in scenes]
    return diversity.spread(look(world.cast, images), embed(world.cast, images).numpy(), prompt)


def looked_at(cast: str, frame: Frame) -> tuple[int, int]:
    """Height and width of rendered pictures of that frame, as large as those that the features are made of."""
    width, height = (round(edge * side(cast)) for edge in frame)
    return height, width


def frechet(features: np.ndarray, world: World, split: str, references: int, frame: Frame = SQUARE) -> float:
    """The Fréchet distance of features (G, C) to those of ``references`` rendered scenes of that frame."""
    return frechet_distance(GaussianStats.of(features), reference(world, split, references, frame))


@lru_cache(maxsize=8)
def reference(world: World, split: str, references: int, frame: Frame = SQUARE) -> GaussianStats:
    """The features' mean and covariance of rendered scenes."""
    return GaussianStats.of(rendered_features(world, split, references, REFERENCE, frame))


@lru_cache(maxsize=8)
def floor(world: World, split: str, images: int, references: int, frame: Frame = SQUARE) -> Record:
    """Scores of ``images`` other rendered scenes."""
    real, others = (
        rendered_features(world, split, count, seed, frame)
        for count, seed in ((references, REFERENCE), (images, FLOOR))
    )
    found = {"frechet": frechet(others, world, split, references, frame), "nearest": diversity.nearest(others, real)}
    return found | ({"recall": precision_recall(others, real).recall} if images > NEIGHBOURS else {})


@lru_cache(maxsize=8)
def rendered_features(world: World, split: str, count: int, seed: int, frame: Frame = SQUARE) -> np.ndarray:
    """SigLIP features (count, C) of rendered scenes of that frame, the split's kinds in turn."""
    kinds = tags_of(world, split)
    scenes = (
        sample_scene(
            np.random.default_rng([BENCHMARK_SEED, seed, index]),
            kinds[index % len(kinds)],
            scenes_of(split),
            world,
            frame,
        )
        for index in range(count)
    )
    return embed(world.cast, [scene.render(looked_at(world.cast, frame)) for scene in scenes]).numpy()


@torch.inference_mode()
def embed(cast: str, images: Sequence[Image.Image]) -> torch.Tensor:
    """Unit-length SigLIP features (B, C). Pictures of another size are resized."""
    size = (side(cast), side(cast))
    pixels = [to_tensor(image if image.size == size else image.resize(size)) for image in images]
    parts = (pixels[start : start + FEATURE_BATCH] for start in range(0, len(pixels), FEATURE_BATCH))
    return torch.cat([siglip(cast).embed_images(torch.stack(part)) for part in parts])
