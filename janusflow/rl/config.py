"""What a stage draws and how that is judged, as configured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from janusflow.rl.prompts import PROMPTS, PromptsConfig
from janusflow.rl.rewards import REWARDS


@dataclass
class RolloutConfig:
    """The rounds of a stage: images are drawn, judged, and trained on for some steps; then come the next ones."""

    # Names or module:function -> weights; what counts is the weighted sum.
    rewards: dict[str, float] = field(default_factory=dict)
    prompts: PromptsConfig = field(default_factory=lambda: PROMPTS.load("world").Config())
    prompts_per_round: int = 16
    group: int = 8  # images of each prompt, which are compared with each other
    updates: int = 4  # steps on a round's images, each on as many as the stage's mixture has of generation
    sampling: dict[str, Any] = field(default_factory=dict)  # options of the head's sampling, over the run's
    batch_size: int = 32  # images drawn together

    def __post_init__(self) -> None:
        for name, least in (("prompts_per_round", 1), ("group", 2), ("updates", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"rollout.{name} must be at least {least}, got {getattr(self, name)}")
        if not any(self.rewards.values()):
            raise ValueError("rollout.rewards needs a reward with a weight")
        for name in self.rewards:
            REWARDS.load(name)

    @property
    def images(self) -> int:
        """Drawn in a round."""
        return self.prompts_per_round * self.group
