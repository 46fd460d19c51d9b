"""GenEval-style benchmark prompts of the shapes world, in GenEval's own metadata format.

A prompt is ``{"tag", "prompt", "include": [{"class", "count", "color"?, "position"?}], "exclude"?}``, so the scorer for
the real benchmark (``eval.geneval.score``) reads it as it is.
"""

from __future__ import annotations

import numpy as np

from janusflow.worlds.shapes.captions import SHORT_TEMPLATES, claim
from janusflow.worlds.shapes.scenes import HELD_OUT_KINDS, Scene, Split, sample_scene
from janusflow.worlds.shapes.vocabulary import GENEVAL_TAGS, HELD_OUT_COUNTS, HELD_OUT_PAIRS


def benchmark_prompts(per_tag: int, split: Split = "train", seed: int = 0) -> list[dict]:
    """``per_tag`` prompts of each tag that exists in ``split``, different wherever the world has enough different ones.

    ``split="train"`` gives compositions that training shows (in distribution), ``"held_out"`` those it never shows.
    """
    tags = GENEVAL_TAGS if split == "train" else HELD_OUT_KINDS
    prompts = []
    for number, tag in enumerate(tags):
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
