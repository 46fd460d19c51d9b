"""The shapes world's scores of a model, in distribution and on the compositions that training holds out.

Generation is judged by GenEval's rules over the oracle detector; answers by exact match; picture quality by the
Fréchet distance on the small SigLIP's features (not an FID) and by SigLIP's image-text similarity.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from eval.features.frechet import GaussianStats, frechet_distance
from eval.geneval.score import Detection, Verdict, score_image
from eval.shapes.benchmark import (
    BENCHMARK_SEED,
    KINDS,
    SPLITS,
    Answered,
    answer_scores,
    benchmark_questions,
    tag_scores,
)
from eval.shapes.oracle import detect
from eval.shapes.prompts import benchmark_prompts
from janusflow.checkpoints.pretrained import ASSETS, Bundle
from janusflow.data.transforms import to_tensor
from janusflow.inference.answers import answer_questions
from janusflow.inference.images import generate_images
from janusflow.options import SamplingOptions
from janusflow.parts.siglip import SigLIP, load_siglip
from janusflow.progress import progress_bar
from janusflow.training.config import ReportConfig
from janusflow.worlds.shapes import render, sample_scene
from janusflow.worlds.shapes.scenes import Split

FEATURE_BATCH = 128

Log = Callable[[str], None]


class Drawn(NamedTuple):
    """What the scorers see in the pictures of a split, one entry a picture."""

    verdicts: list[Verdict]
    features: torch.Tensor  # (G, C) of SigLIP, unit length
    cosines: torch.Tensor  # (G,) between a picture and its prompt


def score_model(bundle: Bundle, config: ReportConfig, log: Log = print) -> tuple[dict[str, Any], list[Image.Image]]:
    """Scores with their protocol, and the in-distribution pictures: ``images_per_prompt`` of each prompt in turn.

    Tasks that ``config.tasks`` leaves out are in neither.
    """
    start = time.time()
    siglip, options = load_siglip(ASSETS / "shapes"), sampling_of(bundle, config)
    scores: dict[str, Any] = {}
    shown: list[Image.Image] = []
    for name, split in SPLITS.items():
        scores[name] = {}
        if "generation" in config.tasks:
            prompts = benchmark_prompts(config.prompts_per_tag, split, BENCHMARK_SEED)
            log(f"{name}: drawing {len(prompts)} prompts x {config.images_per_prompt}")
            images = draw(bundle, [prompt["prompt"] for prompt in prompts], config)
            repeated = [prompt for prompt in prompts for _ in range(config.images_per_prompt)]
            drawn = examine(siglip, images, repeated)
            scores[name]["generation"] = tag_scores(drawn.verdicts, [prompt["tag"] for prompt in repeated])
            scores[name] |= feature_scores(siglip, drawn, split, config.reference_images, images[0].size[0])
            shown = shown or images
        if "understanding" in config.tasks:
            answered = answer_split(bundle, config.questions_per_kind, split, config.batch_size)
            scores[name]["answers"] = answer_scores(answered)
    scores["protocol"] = {
        **{name: value for name, value in dataclasses.asdict(config).items() if name != "sampling"},
        "sampling": options.stated(),
        "sampling_text": options.describe(),
        "checkpoint": bundle.digest,
        "benchmark_seed": BENCHMARK_SEED,
        "image_seeds": f"0..{config.images_per_prompt - 1}",
        "resolution": bundle.model.config.vision.image_size,
        "dtype": str(next(bundle.model.parameters()).dtype).removeprefix("torch."),
        "detector": "shapes oracle",
        "torch": torch.__version__,
        "seconds": round(time.time() - start, 1),
    }
    return scores, shown


def sampling_of(bundle: Bundle, config: ReportConfig) -> SamplingOptions:
    """How the model is drawn with for its scores."""
    return bundle.model.config.head.sampling(bundle.sampling, config.sampling)


def draw(bundle: Bundle, prompts: Sequence[str], config: ReportConfig) -> list[Image.Image]:
    """``images_per_prompt`` pictures of every prompt, seeds 0, 1, …"""
    repeated = [prompt for prompt in prompts for _ in range(config.images_per_prompt)]
    seeds = list(range(config.images_per_prompt)) * len(prompts)
    options = sampling_of(bundle, config)
    with progress_bar("drawing", "step", leave=False) as progress:
        return generate_images(bundle, repeated, seeds, options, config.batch_size, progress)


def examine(siglip: SigLIP, images: Sequence[Image.Image], prompts: Sequence[dict]) -> Drawn:
    """GenEval's verdict, features and cosine of every image, one prompt each."""
    features = embed(siglip, images)
    with torch.inference_mode():
        texts = siglip.embed_texts([prompt["prompt"] for prompt in prompts])
    return Drawn(verdicts(images, prompts), features, (features * texts).sum(-1))


def verdicts(images: Sequence[Image.Image], prompts: Sequence[dict]) -> list[Verdict]:
    """GenEval's rules over what the oracle detects in each image, one prompt each."""
    shown = tqdm(images, "judging", unit="picture", leave=False, disable=None)
    return [score_image(detections(image), prompt) for image, prompt in zip(shown, prompts, strict=True)]


def detections(image: Image.Image) -> list[Detection]:
    """What the oracle sees, in GenEval's form: the best last, as GenEval takes the last of equals first."""
    return [Detection(found.shape, found.score, found.box, found.color) for found in reversed(detect(image))]


def answer_split(bundle: Bundle, per_kind: int, split: Split, batch_size: int) -> list[Answered]:
    """Greedy answers to ``per_kind`` questions of each kind, judged by exact match."""
    asked = benchmark_questions(per_kind, split)
    images = [render(scene, bundle.model.config.vision.image_size) for scene, _ in asked]
    questions = [question for _, question in asked]
    texts = [question.text for question in questions]
    batches = tqdm(range(0, len(texts), batch_size), "answering", unit="batch", leave=False, disable=None)
    parts = (slice(start, start + batch_size) for start in batches)
    answers = [answer for part in parts for answer in answer_questions(bundle, images[part], texts[part], batch_size)]
    return [Answered(q.kind, answer == q.answer) for answer, q in zip(answers, questions, strict=True)]


def feature_scores(siglip: SigLIP, drawn: Drawn, split: Split, references: int, size: int) -> dict[str, Any]:
    """Fréchet distance to rendered scenes, its floor, and the mean similarity of pictures and prompts.

    The floor is the distance between the reference set and another rendered set of as many scenes as there are images.
    """
    reference = reference_stats(siglip, split, references, size)
    other = rendered_features(siglip, KINDS[split], split, len(drawn.features), size, seed=2)
    return {
        "frechet_siglip": frechet_distance(gaussian(drawn.features), reference),
        "frechet_siglip_floor": frechet_distance(gaussian(other), reference),
        "similarity": 100 * drawn.cosines.mean().item(),
    }


def reference_stats(siglip: SigLIP, split: Split, references: int, size: int) -> GaussianStats:
    """The features' mean and covariance of ``references`` rendered scenes, the split's kinds in turn."""
    return gaussian(rendered_features(siglip, KINDS[split], split, references, size, seed=1))


def rendered_features(
    siglip: SigLIP, kinds: Sequence[str], split: Split, count: int, size: int, seed: int
) -> torch.Tensor:
    """SigLIP features (count, C) of rendered scenes, the kinds in turn."""
    scenes = (
        sample_scene(np.random.default_rng([BENCHMARK_SEED, seed, index]), kinds[index % len(kinds)], split)
        for index in range(count)
    )
    return embed(siglip, [render(scene, size) for scene in scenes])


@torch.inference_mode()
def embed(siglip: SigLIP, images: Sequence[Image.Image]) -> torch.Tensor:
    """Unit-length SigLIP features (B, C)."""
    parts = (images[start : start + FEATURE_BATCH] for start in range(0, len(images), FEATURE_BATCH))
    return torch.cat([siglip.embed_images(torch.stack([to_tensor(image) for image in part])) for part in parts])


def gaussian(features: torch.Tensor) -> GaussianStats:
    """Mean and covariance of features (B, C)."""
    return GaussianStats.of(features.numpy())
