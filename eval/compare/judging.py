"""Scores of one model at one setting, prompt by prompt: what intervals and differences are made of."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from PIL import Image
from tqdm import tqdm

from eval.compare.config import CompareConfig
from eval.features.frechet import GaussianStats, frechet_distance
from eval.shapes.benchmark import BENCHMARK_SEED, KINDS, tag_scores
from eval.shapes.prompts import benchmark_prompts
from eval.shapes.score import Drawn, answer_split, examine, gaussian, reference_stats, rendered_features
from janusflow.checkpoints.pretrained import ASSETS, Bundle
from janusflow.inference.images import generate_images
from janusflow.options import SamplingOptions
from janusflow.parts.siglip import SigLIP, load_siglip
from janusflow.worlds.shapes.scenes import Split

Pictures = list[list[Image.Image]]  # of each prompt, seeds 0, 1, …


class Timed(NamedTuple):
    """Pictures, and seconds a picture: the median over the whole batches, of ``batch`` pictures each."""

    images: list[Image.Image]
    seconds: float
    batch: int


@lru_cache(maxsize=1)
def towers() -> SigLIP:
    """The small SigLIP."""
    return load_siglip(ASSETS / "shapes")


@lru_cache(maxsize=4)
def reference(split: Split, count: int) -> GaussianStats:
    """The rendered scenes of a split."""
    return reference_stats(towers(), split, count, towers().config.image_size)


@lru_cache(maxsize=4)
def floor(split: Split, images: int, count: int) -> float:
    """The Fréchet distance of ``images`` other rendered scenes."""
    other = rendered_features(towers(), KINDS[split], split, images, towers().config.image_size, seed=2)
    return frechet_distance(gaussian(other), reference(split, count))


def judge_pictures(
    bundle: Bundle, options: SamplingOptions, split: Split, per_tag: int, per_prompt: int, config: CompareConfig
) -> tuple[dict[str, Any], Pictures]:
    """Draw ``per_tag`` prompts of each tag, and judge every picture. Values are in the prompts' order."""
    prompts = benchmark_prompts(per_tag, split, BENCHMARK_SEED)
    repeated = [prompt for prompt in prompts for _ in range(per_prompt)]
    texts, seeds = [prompt["prompt"] for prompt in repeated], list(range(per_prompt)) * len(prompts)
    images, seconds, batch = draw_timed(bundle, texts, seeds, options, config.batch_size)
    drawn = examine(towers(), images, repeated)
    target = reference(split, config.reference_images)
    result = {
        "tags": [prompt["tag"] for prompt in prompts],
        "correct": _by_prompt([verdict.correct for verdict in drawn.verdicts], per_prompt),
        "similarity": _by_prompt((100 * drawn.cosines).tolist(), per_prompt),
        "frechet": frechet_distance(gaussian(drawn.features), target),
        "frechet_floor": floor(split, len(images), config.reference_images),
        "frechet_without": frechet_without(drawn, target, per_prompt),
        "failures": tag_scores(drawn.verdicts, [prompt["tag"] for prompt in repeated])["failures"],
        "seconds": seconds,
        "timed_batch": batch,
    }
    return result, _by_prompt(images, per_prompt)


def judge_answers(bundle: Bundle, split: Split, config: CompareConfig) -> dict[str, Any]:
    """Answer ``questions_per_kind`` questions of each kind."""
    answered = answer_split(bundle, config.questions_per_kind, split, config.batch_size)
    return {"kinds": [one.kind for one in answered], "right": [[one.right] for one in answered]}


def draw_timed(
    bundle: Bundle, texts: Sequence[str], seeds: Sequence[int], options: SamplingOptions, batch_size: int
) -> Timed:
    """Draw ``batch_size`` pictures at a time, fewer where there are no more; one is drawn before, to warm up."""
    batch = min(batch_size, len(texts))
    images: list[Image.Image] = []
    taken: list[float] = []
    generate_images(bundle, texts[:1], seeds[:1], options, 1)
    for first in tqdm(range(0, len(texts), batch), "batches", leave=False):
        part = slice(first, first + batch)
        start = time.perf_counter()
        drawn = generate_images(bundle, texts[part], seeds[part], options, batch)
        if len(drawn) == batch:
            taken.append((time.perf_counter() - start) / batch)
        images += drawn
    return Timed(images, statistics.median(taken), batch)


def frechet_without(drawn: Drawn, target: GaussianStats, per_prompt: int) -> list[float]:
    """The Fréchet distance with each prompt's pictures left out in turn."""
    of_prompts = drawn.features.split(per_prompt)
    distances = []
    for left_out in tqdm(range(len(of_prompts)), "Fréchet distances", leave=False):
        kept = [features for number, features in enumerate(of_prompts) if number != left_out]
        distances.append(frechet_distance(gaussian(torch.cat(kept)), target))
    return distances


def _by_prompt(values: list[Any], per_prompt: int) -> list[list[Any]]:
    return [values[start : start + per_prompt] for start in range(0, len(values), per_prompt)]
