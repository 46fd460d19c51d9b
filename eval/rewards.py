"""The rewards that come with the benchmarks, by their names in ``janusflow.rl.rewards``.

A prompt is GenEval's: ``include`` and ``exclude`` say what its picture must show. The worlds' rewards look with the
detector of the cast whose things a prompt names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from PIL import Image

from eval.geneval.result import from_record
from eval.geneval.score import Detection, check_prompt, score_image
from janusflow.worlds.casts import CASTS, cast_of

Prompt = Mapping[str, Any]
Scores = list[float]


def rules(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> Scores:
    """GenEval's verdict in a world, 1 or 0."""
    return [float(score_image(seen, prompt).correct) for seen, prompt in _seen(images, prompts)]


def conditions(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> Scores:
    """The share of a prompt's conditions that are met in a world: things, numbers, colours, relations."""
    return [share_met(seen, prompt) for seen, prompt in _seen(images, prompts)]


def share_met(seen: Sequence[Detection], prompt: Prompt) -> float:
    """The share of a prompt's conditions that are met by what was seen."""
    parts = list(single_conditions(prompt))
    return sum(score_image(seen, part).correct for part in parts) / len(parts)


def single_conditions(prompt: Prompt) -> Iterator[Prompt]:
    """A prompt for each of the conditions of ``prompt``: that its things are there, then all else one by one."""
    tag, plain = prompt["tag"], [{"class": one["class"], "count": one["count"]} for one in prompt["include"]]
    for number, wanted in enumerate(prompt["include"]):
        yield {"tag": tag, "include": [plain[number]]}
        if wanted.get("color"):
            yield {"tag": tag, "include": [{**plain[number], "color": wanted["color"]}]}
        if wanted.get("position"):
            yield {"tag": tag, "include": [*plain[:number], {**plain[number], "position": wanted["position"]}]}
    for unwanted in prompt.get("exclude") or ():  # a picture without the thing does not meet it, either
        there = {"class": unwanted["class"], "count": max(unwanted["count"] - 1, 1)}
        yield {"tag": tag, "include": [there], "exclude": [unwanted]}


def similarity(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> Scores:
    """The cosine of picture and prompt by the cast's small SigLIP."""
    from eval.worlds.judge import embed, siglip

    scores = [0.0] * len(images)
    for cast, numbers in _by_cast(prompts).items():
        pictures = embed(cast, [images[number] for number in numbers])
        texts = siglip(cast).embed_texts([prompts[number]["prompt"] for number in numbers])
        for number, score in zip(numbers, (pictures * texts).sum(-1).tolist(), strict=True):
            scores[number] = score
    return scores


def geneval(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> Scores:
    """GenEval's verdict by its own judges, 1 or 0."""
    look = _geneval_judge()
    return [
        float(score_image(from_record(look(prompt, image)), prompt).correct)
        for image, prompt in zip(images, prompts, strict=True)
    ]


def clip_score(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> Scores:
    """The cosine of picture and prompt by CLIP ViT-L/14."""
    from torch.nn.functional import cosine_similarity

    pictures, texts = _clip().embed_images(images), _clip().embed_texts([one["prompt"] for one in prompts])
    return cosine_similarity(pictures.double(), texts.double()).tolist()


@cache
def _geneval_judge() -> Callable[[Prompt, Image.Image], Any]:
    from eval.geneval.task import GenEvalJudge, GenEvalOptions

    return GenEvalJudge([], GenEvalOptions(), _device()).look


@cache
def _clip() -> Any:
    from eval.clip import CLIP, DEFAULT_CLIP
    from eval.judge_weights import find_model

    return CLIP(find_model(DEFAULT_CLIP), _device())


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _seen(images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> list[tuple[list[Detection], Prompt]]:
    """What the casts' detectors see, with the prompts."""
    from eval.worlds.judge import DETECTORS

    for prompt in prompts:
        check_prompt(prompt)
    seen: list[list[Detection]] = [[]] * len(images)
    for cast, numbers in _by_cast(prompts).items():
        for number, found in zip(numbers, DETECTORS[cast]([images[number] for number in numbers]), strict=True):
            seen[number] = found
    return list(zip(seen, prompts, strict=True))


def _by_cast(prompts: Sequence[Prompt]) -> dict[str, list[int]]:
    """The casts, with the numbers of the prompts that name their things."""
    numbers: dict[str, list[int]] = {}
    for number, prompt in enumerate(prompts):
        numbers.setdefault(_cast(prompt), []).append(number)
    return numbers


def _cast(prompt: Prompt) -> str:
    """The cast whose things a prompt names. Raises ``ValueError`` where none has them."""
    names = {one["class"] for one in prompt.get("include") or ()}
    for cast in CASTS:
        if names and names <= set(cast_of(cast).names):
            return cast
    raise ValueError(
        f"no cast has what the prompt {prompt['prompt']!r} includes: {', '.join(sorted(names)) or 'nothing'}"
    )
