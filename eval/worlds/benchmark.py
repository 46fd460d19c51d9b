"""What a world asks, in three splits, and the scores that need no network and no picture.

A prompt is in GenEval's own metadata format, ``{"tag", "prompt", "include": [{"class", "count", "color"?,
"position"?}], "exclude"?}``, so the scorer for the real benchmark (``eval.geneval.score``) reads it as it is.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eval.geneval.score import Verdict, summarize
from janusflow.worlds.captions import Teller
from janusflow.worlds.questions import WORDINGS, Question, ask, question_kinds
from janusflow.worlds.scenes import Group, Scene, Split, World, groups_held_out, held_out_kinds, sample_scene
from janusflow.worlds.vocabulary import GENEVAL_TAGS

IN_DISTRIBUTION, HELD_OUT, REWORDED = SPLITS = ("in_distribution", "held_out", "reworded")
PARAPHRASED = "paraphrased"  # prompts and questions by people who did not know the constructions
PARAPHRASES = Path(__file__).parent / "data" / "paraphrases.jsonl"
QUESTIONS = PARAPHRASES.with_name("questions.jsonl")
WORDING_OF = {"what": "the only", "where": "relation"}  # kinds of its questions -> wordings, where they differ
BENCHMARK_SEED = 20_000  # prompts, questions and reference scenes; training seeds its world differently
DEVELOPMENT_SEED = 30_000  # of other prompts and questions, to choose settings by
ATTEMPTS = 50  # to find a prompt that there was not yet


class Answered(NamedTuple):
    """A question's kind, and whether the model answered it exactly."""

    kind: str
    right: bool


def scenes_of(split: str) -> Split:
    """The scenes that a split is about: ``"held_out"`` has compositions, ``"reworded"`` constructions, that training
    never shows."""
    return "held_out" if split == HELD_OUT else "train"


def tags_of(world: World, split: str) -> Sequence[str]:
    """The tags that have prompts in ``split``."""
    return held_out_kinds(world.things) if split == HELD_OUT else GENEVAL_TAGS


def benchmark_prompts(world: World, per_tag: int, split: str, seed: int = BENCHMARK_SEED) -> list[dict]:
    """``per_tag`` prompts of each tag that exists in ``split``, different wherever there are enough different ones."""
    prompts = []
    for number, tag in enumerate(tags_of(world, split)):
        rng = np.random.default_rng([seed, number, SPLITS.index(split)])
        seen: set[str] = set()
        for _ in range(per_tag):
            for _attempt in range(ATTEMPTS):
                prompt = _draw(rng, tag, split, world)
                if prompt["prompt"] not in seen:
                    break
            seen.add(prompt["prompt"])
            prompts.append(prompt)
    return prompts


def _draw(rng: np.random.Generator, tag: str, split: str, world: World) -> dict:
    """A prompt that says what is held out, if that is the split: counting prompts name no colour, so not all do."""
    while True:
        scene = sample_scene(rng, tag, scenes_of(split), world)
        prompt = prompt_of(scene, rng, split == REWORDED)
        if split != HELD_OUT or groups_held_out(world.things, told(prompt)):
            return prompt


def paraphrases(cast: str, count: int) -> list[dict]:
    """``count`` prompts about a cast that were written without knowledge of its constructions, of all tags evenly."""
    of_tags: dict[str, list[dict]] = {}
    for line in PARAPHRASES.read_text(encoding="utf-8").splitlines():
        prompt = json.loads(line)
        if prompt["cast"] == cast:
            of_tags.setdefault(prompt["tag"], []).append(prompt)
    in_turn = [prompt for several in zip_longest(*of_tags.values()) for prompt in several if prompt]
    return sorted(in_turn[:count], key=lambda prompt: list(of_tags).index(prompt["tag"]))


def told(prompt: dict) -> tuple[Group, ...]:
    """The groups that a prompt names, with their colours where it says them."""
    return tuple(Group(one["class"], one.get("color"), one["count"]) for one in prompt["include"])


def prompt_of(scene: Scene, rng: np.random.Generator, reworded: bool = False) -> dict:
    """The prompt whose right picture would be ``scene``, and GenEval's conditions for it."""
    teller = Teller(scene, rng, held_out=reworded, exact=True)
    include: list[dict] = []
    for group in scene.groups:
        entry: dict = {"class": group.name, "count": group.count}
        if teller.with_color and group.color:
            entry["color"] = group.color
        include.append(entry)
    if teller.relation is not None:  # GenEval names the reference object first; the later one points back at it
        include.reverse()
        include[1]["position"] = [teller.relation, 0]
    prompt = {"tag": scene.kind, "prompt": teller.caption(), "include": include}
    if scene.kind in ("counting", "compound"):
        prompt["exclude"] = [{"class": group.name, "count": group.count + 1} for group in scene.groups]
    return prompt


def benchmark_questions(
    world: World, per_kind: int, split: str, seed: int = BENCHMARK_SEED
) -> list[tuple[Scene, Question]]:
    """``per_kind`` questions of each kind, each about a scene of its own; the paraphrased ones in other words."""
    wordings = other_wordings() if split == PARAPHRASED else WORDINGS
    kinds = [kind for kind in question_kinds(world) if split != PARAPHRASED or WORDING_OF.get(kind, kind) in wordings]
    asked = []
    for number, kind in enumerate(kinds):
        for index in range(per_kind):
            rng = np.random.default_rng([seed, 7, number, index, (*SPLITS, PARAPHRASED).index(split)])
            question = None
            while question is None:
                scene = sample_scene(rng, None, scenes_of(split), world)
                question = ask(scene, rng, kind, wordings)
            asked.append((scene, question))
    return asked


def other_wordings() -> dict[str, list[str]]:
    """Wordings of questions that were written without knowledge of those in training."""
    wordings: dict[str, list[str]] = {}
    for line in QUESTIONS.read_text(encoding="utf-8").splitlines():
        question = json.loads(line)
        wordings.setdefault(WORDING_OF.get(question["kind"], question["kind"]), []).append(question["text"])
    return wordings


def tag_scores(judged: Sequence[Verdict], tags: Sequence[str]) -> dict[str, Any]:
    """Accuracy of every tag, their mean, and the reasons of failures, from an image's verdict and tag each.

    ``overall`` is the unweighted mean over the tags that there are: all six, or those with held-out forms.
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
    kinds: dict[str, list[bool]] = {}
    for one in answered:
        kinds.setdefault(one.kind, []).append(one.right)
    accuracies = {kind: sum(right) / len(right) for kind, right in kinds.items()}
    overall = sum(one.right for one in answered) / len(answered)
    return {"kinds": accuracies, "overall": overall, "questions": len(answered)}
