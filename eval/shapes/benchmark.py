"""What the shapes world asks, in distribution and held out, and the scores that need no network and no picture.

A prompt is in GenEval's own metadata format, ``{"tag", "prompt", "include": [{"class", "count", "color"?,
"position"?}], "exclude"?}``, so the scorer for the real benchmark (``eval.geneval.score``) reads it as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from eval.geneval.score import Verdict, summarize
from janusflow.worlds.shapes.captions import SHORT_TEMPLATES, claim
from janusflow.worlds.shapes.questions import QUESTION_KINDS, Question, sample_question
from janusflow.worlds.shapes.scenes import HELD_OUT_KINDS, Scene, Split, sample_scene
from janusflow.worlds.shapes.vocabulary import GENEVAL_TAGS, HELD_OUT_COUNTS, HELD_OUT_PAIRS

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


def benchmark_prompts(per_tag: int, split: Split = "train", seed: int = BENCHMARK_SEED) -> list[dict]:
    """``per_tag`` prompts of each tag that exists in ``split``, different wherever the world has enough different ones.

    ``split="train"`` gives compositions that training shows (in distribution), ``"held_out"`` those it never shows.
    """
    prompts = []
    for number, tag in enumerate(KINDS[split]):
        rng = np.random.default_rng([seed, number, split == "held_out"])
        seen: set[str] = set()
        for _ in range(per_tag):
            for _attempt in range(50):
                prompt = _draw(rng, tag, split)
                if prompt["prompt"] not in seen:
                    break
            seen.add(prompt["prompt"])
            prompts.append(prompt)
    return prompts


def _draw(rng: np.random.Generator, tag: str, split: Split) -> dict:
    """A prompt that says what is held out, if that is the split: counting prompts name no colour, so not all do."""
    while True:
        prompt = prompt_of(sample_scene(rng, tag, split), rng)
        if split == "train" or any(_held_out(entry) for entry in prompt["include"]):
            return prompt


def _held_out(entry: dict) -> bool:
    shape = entry["class"]
    return (entry.get("color"), shape) in HELD_OUT_PAIRS or (entry["count"], shape) in HELD_OUT_COUNTS


def prompt_of(scene: Scene, rng: np.random.Generator) -> dict:
    """The prompt whose right picture would be ``scene``, and GenEval's conditions for it."""
    tag = scene.kind
    with_color = tag in ("colors", "color_attr", "compound")
    relation = scene.relations()[0] if tag == "position" else None
    text = SHORT_TEMPLATES[rng.integers(len(SHORT_TEMPLATES))].format(claim(scene, with_color, relation))
    include: list[dict] = []
    for group in scene.groups:
        entry: dict = {"class": group.shape, "count": group.count}
        if with_color:
            entry["color"] = group.color
        include.append(entry)
    if relation is not None:  # GenEval names the reference object first; the later one points back at it
        include.reverse()
        include[1]["position"] = [relation, 0]
    prompt = {"tag": tag, "prompt": text, "include": include}
    if tag in ("counting", "compound"):
        prompt["exclude"] = [{"class": g.shape, "count": g.count + 1} for g in scene.groups]
    return prompt


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
