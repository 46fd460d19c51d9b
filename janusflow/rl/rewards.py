"""Rewards: what a picture is worth for its prompt. A reward is a plain function.

``reward(images, prompts)`` gives one number an image, more being better; a prompt is a mapping with its text as
``"prompt"`` and whatever else its source knows of it (GenEval's conditions, a world). One of your own is a
``module:function`` in a stage's ``rollout.rewards``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor

from janusflow.inference.prompts import Prompt
from janusflow.registry import Registry

Reward = Callable[[Sequence[Image.Image], Sequence[Prompt]], Sequence[float]]

REWARDS: Registry[Reward] = Registry(
    "reward",
    "janusflow.rewards",
    {
        "rules": "eval.rewards:rules",
        "conditions": "eval.rewards:conditions",
        "similarity": "eval.rewards:similarity",
        "geneval": "eval.rewards:geneval",
        "clip_score": "eval.rewards:clip_score",
    },
)


def judge(names: Sequence[str], images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> Tensor:
    """What the rewards ``names`` say, (G, R) in fp32.

    Raises ``ValueError`` with the reward's name where it fails, or gives anything but a finite number an image.
    """
    return torch.stack([scores_of(name, images, prompts) for name in names], dim=1)


def scores_of(name: str, images: Sequence[Image.Image], prompts: Sequence[Prompt]) -> Tensor:
    """One reward's scores (G,)."""
    reward = REWARDS.load(name)
    try:
        scores = torch.as_tensor(reward(images, prompts), dtype=torch.float32).cpu()
    except Exception as error:  # it may be anybody's
        text = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"the reward {name} failed: {text[0]}") from error
    if scores.shape != (len(images),):
        raise ValueError(f"the reward {name} gave {tuple(scores.shape)} scores for {len(images)} images")
    wrong = ~scores.isfinite()
    if wrong.any():
        number = int(wrong.nonzero()[0])
        raise ValueError(f"the reward {name} gave {scores[number]:g} for an image of {prompts[number]['prompt']!r}")
    return scores


def advantages(rewards: Tensor, group: int, least: float = 1e-4) -> Tensor:
    """How much better than its group each image is, (G,), in standard deviations of the group.

    rewards: (G,), the images of a prompt one after the other, ``group`` of each. Groups whose rewards are all alike
    teach nothing: 0.
    """
    groups = rewards.view(-1, group)
    away = groups - groups.mean(1, keepdim=True)
    spread = groups.std(1, correction=0, keepdim=True)
    return torch.where(spread > least, away / spread.clamp(min=least), 0).flatten()
