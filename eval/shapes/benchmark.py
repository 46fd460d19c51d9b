"""What the shapes world asks, in distribution and held out, and the scores that need no network and no picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from eval.geneval.score import Verdict, summarize
from janusflow.worlds.shapes import sample_scene
from janusflow.worlds.shapes.questions import QUESTION_KINDS, Question, sample_question
from janusflow.worlds.shapes.scenes import HELD_OUT_KINDS, Scene, Split
from janusflow.worlds.shapes.vocabulary import GENEVAL_TAGS

SPLITS: dict[str, Split] = {"in_distribution": "train", "held_out": "held_out"}
KINDS: dict[Split, Sequence[str]] = {"train": GENEVAL_TAGS, "held_out": HELD_OUT_KINDS}  # of scenes
BENCHMARK_SEED = 20_000  # prompts, questions and reference scenes; training seeds its world differently
FEATURE_SCORES = {  # of a result's scores -> their names in tables
    "frechet_siglip": "Fréchet distance, SigLIP features (not FID)",
    "frechet_siglip_floor": "… between two rendered sets (floor)",
    "similarity": "image-text similarity, 100 x cosine",
}


class Answered(NamedTuple):
    """A question's kind, and whether the model answered it exactly."""

    kind: str
    right: bool


def benchmark_questions(per_kind: int, split: Split) -> list[tuple[Scene, Question]]:
    """``per_kind`` questions of each kind, each about a scene of its own."""
    asked = []
    for number, kind in enumerate(QUESTION_KINDS):
        for index in range(per_kind):
            rng = np.random.default_rng([BENCHMARK_SEED, 7, number, index, split == "held_out"])
            scene = sample_scene(rng, split=split)
            asked.append((scene, sample_question(scene, rng, kind)))
    return asked


def tag_scores(judged: Sequence[Verdict], tags: Sequence[str]) -> dict[str, Any]:
    """Accuracy of every tag, their mean, and the reasons of failures, from an image's verdict and tag each.

    ``overall`` is the unweighted mean over the tags that there are: all six, or the three with held-out forms.
    """
    reasons = Counter(verdict.reason for verdict in judged if not verdict.correct)
    summary = summarize((tag, verdict.correct) for tag, verdict in zip(tags, judged, strict=True))
    found = {tag: accuracy for tag, accuracy in summary["tags"].items() if accuracy is not None}
    return {
        "tags": found,
        "images": {tag: summary["counts"][tag] for tag in found},
        "overall": sum(found.values()) / len(found),
        "complete": len(found) == len(GENEVAL_TAGS),
        "failures": dict(reasons.most_common(8)),
    }


def answer_scores(answered: Sequence[Answered]) -> dict[str, Any]:
    """Accuracy for every kind of question that was asked, and over all."""
    kinds = {}
    for kind in QUESTION_KINDS:
        right = [one.right for one in answered if one.kind == kind]
        if right:
            kinds[kind] = sum(right) / len(right)
    return {"kinds": kinds, "overall": sum(one.right for one in answered) / len(answered), "questions": len(answered)}
