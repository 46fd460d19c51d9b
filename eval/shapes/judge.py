"""The judge of the shapes world's pictures, and the scores of its features: what needs a network.

Picture quality is the Fréchet distance on the small SigLIP's features (not an FID), and SigLIP's image-text similarity.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
import torch
from PIL import Image

from eval.features.frechet import GaussianStats, frechet_distance
from eval.geneval.score import Detection
from eval.shapes.benchmark import BENCHMARK_SEED, KINDS
from eval.shapes.oracle import detect
from eval.task import Drawing, Judge, Judged, Record
from janusflow.data.transforms import to_tensor
from janusflow.parts.siglip import FILE, SigLIP, load_siglip
from janusflow.weights import ASSETS, digest
from janusflow.worlds.shapes import render, sample_scene
from janusflow.worlds.shapes.scenes import Split

FOLDER = ASSETS / "shapes"  # of the small SigLIP
FEATURE_BATCH = 128
REFERENCE, FLOOR = 1, 2  # seeds of the two rendered sets


class ShapesJudge(Judge):
    """The oracle detector, and the small SigLIP for features and the similarity of picture and prompt."""

    @torch.inference_mode()
    def judge(self, drawings: Sequence[Drawing], images: Sequence[Image.Image]) -> list[Judged]:
        features = embed(images)
        cosines = (features * siglip().embed_texts([one.prompt for one in drawings])).sum(-1)
        return [
            Judged({"detections": [found._asdict() for found in detections(image)], "cosine": cosine}, row)
            for image, cosine, row in zip(images, cosines.tolist(), features.numpy(), strict=True)
        ]


def detections(image: Image.Image) -> list[Detection]:
    """What the oracle sees, in GenEval's form: the best last, as GenEval takes the last of equals first."""
    return [Detection(found.shape, found.score, found.box, found.color) for found in reversed(detect(image))]


@cache
def siglip() -> SigLIP:
    """The small SigLIP."""
    return load_siglip(FOLDER)


def describe_siglip() -> str:
    """The network of the features, with its hash."""
    return f"SigLIP {digest([FOLDER / FILE])}"


def side() -> int:
    """The pixels that pictures are looked at with."""
    return siglip().config.image_size


def feature_scores(seen: Sequence[Judged], split: Split, references: int) -> Record:
    """Fréchet distance to rendered scenes, its floor, and the mean similarity of pictures and prompts.

    The floor is the distance between the reference set and another rendered set of as many scenes as there are images.
    """
    features = np.stack([one.features for one in seen if one.features is not None])
    return {
        "frechet_siglip": frechet(features, split, references),
        "frechet_siglip_floor": floor(split, len(features), references),
        "similarity": 100 * torch.tensor([one.record["cosine"] for one in seen]).mean().item(),
    }


def frechet(features: np.ndarray, split: Split, references: int) -> float:
    """The Fréchet distance of features (G, C) to those of ``references`` rendered scenes."""
    return frechet_distance(GaussianStats.of(features), reference(split, references))


@lru_cache(maxsize=8)
def reference(split: Split, references: int) -> GaussianStats:
    """The features' mean and covariance of rendered scenes."""
    return GaussianStats.of(rendered_features(split, references, REFERENCE))


@lru_cache(maxsize=8)
def floor(split: Split, images: int, references: int) -> float:
    """The Fréchet distance of ``images`` other rendered scenes."""
    return frechet(rendered_features(split, images, FLOOR), split, references)


def rendered_features(split: Split, count: int, seed: int) -> np.ndarray:
    """SigLIP features (count, C) of rendered scenes, the split's kinds in turn."""
    kinds = KINDS[split]
    scenes = (
        sample_scene(np.random.default_rng([BENCHMARK_SEED, seed, index]), kinds[index % len(kinds)], split)
        for index in range(count)
    )
    return embed([render(scene, side()) for scene in scenes]).numpy()


@torch.inference_mode()
def embed(images: Sequence[Image.Image]) -> torch.Tensor:
    """Unit-length SigLIP features (B, C). Pictures of another size are resized."""
    size = (side(), side())
    pixels = [to_tensor(image if image.size == size else image.resize(size)) for image in images]
    parts = (pixels[start : start + FEATURE_BATCH] for start in range(0, len(pixels), FEATURE_BATCH))
    return torch.cat([siglip().embed_images(torch.stack(part)) for part in parts])
