"""Stages as data: what trains, at which rate, on which mixture. Everything is a pure function of the step.

JanusFlow Table 1 and Sec. 3.3; Janus Table 1; Janus-Pro Table 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, NamedTuple

from torch import nn

from janusflow.adapters import has_adapter, is_adapter
from janusflow.data.config import TASKS, Task
from janusflow.data.editing import EditingConfig
from janusflow.data.reconstruction import ReconstructionConfig
from janusflow.losses import loss_module
from janusflow.models.unified import ModelConfig, UnifiedModel
from janusflow.rl.config import RolloutConfig

# Parts of the model as the stages name them -> prefixes of their parameters; beside them stand the losses by name.
PARTS: dict[str, tuple[str, ...]] = {
    "llm": ("llm.",),
    "siglip": ("vision.tower.",),
    "understanding": ("vision.aligner.", "vision.begin_embed", "latent_encoder."),
    "generation": ("head.",),
}
# SigLIP's pooling head belongs to its contrastive loss; nothing here uses it, so no gradient reaches it in any stage.
NEVER_TRAINED = ("vision.tower.attn_pool.",)


@dataclass
class RatioConfig:
    """A mixture, valid until step ``until`` of the stage (None: to its end). Only proportions matter."""

    understanding: float = 0.0
    generation: float = 0.0
    text: float = 0.0
    reconstruction: float = 0.0  # images behind themselves (RecA)
    editing: float = 0.0  # images behind what they were made of, and the instruction
    until: int | None = None

    def __post_init__(self) -> None:
        weights = [getattr(self, task) for task in TASKS]
        if min(weights) < 0 or sum(weights) <= 0:
            raise ValueError(f"mixture ratios must be 0 or more and not all 0, got {':'.join(map(str, weights))}")


@dataclass
class StageConfig:
    """One stage."""

    train: list[str] = field(default_factory=lambda: [*PARTS, "repa"])  # PARTS, losses; all else is frozen
    steps: int = 1000
    batch_size: int = 64  # samples in a step, over all ranks
    lr: float = 1e-4
    warmup_steps: int = 0  # linear, from 0
    decay_fraction: float = 0.0  # share of the steps, at the end, over which the rate falls to 0; 0: constant
    decay: Literal["linear", "cosine"] = "linear"  # how it falls; cosine: from the end of the warm-up at the earliest
    weight_decay: float | None = None  # default: optim.weight_decay
    ratios: list[RatioConfig] = field(default_factory=lambda: [RatioConfig(1, 1, 0)])
    instruction: bool = True  # generation prompts as chat turns (stage 3) or plain (stages 1 and 2 of the paper)
    first_sentence: float = 0.25  # share of generation captions cut to their first sentence
    reconstruction: ReconstructionConfig = field(default_factory=ReconstructionConfig)  # how its images are shown
    editing: EditingConfig = field(default_factory=EditingConfig)  # how its edits are prompted
    rollout: RolloutConfig | None = None  # the mixture's generation is what the model draws itself, with verdicts

    def __post_init__(self) -> None:
        if not self.train:
            raise ValueError("a stage must train something: stage.train is empty")
        if self.steps < 1 or self.batch_size < 1:
            raise ValueError(
                f"a stage needs steps and batch_size of at least 1, got {self.steps} and {self.batch_size}"
            )
        if not 0 <= self.decay_fraction <= 1:
            raise ValueError(f"decay_fraction must lie in [0, 1], got {self.decay_fraction}")
        if self.weight_decay is not None and self.weight_decay < 0:
            raise ValueError(f"weight_decay must be 0 or more, got {self.weight_decay}")
        if not self.ratios or any(ratio.until is None for ratio in self.ratios[:-1]):
            raise ValueError("every mixture but a stage's last needs an 'until' step")
        ends = [0, *(self.steps if ratio.until is None else ratio.until for ratio in self.ratios)]
        if any(end <= begin for begin, end in pairwise(ends[:-1])) or ends[-1] < self.steps:
            raise ValueError(f"a stage's mixtures end one after the other, the last with the stage; got {ends[1:]}")

    @property
    def tasks(self) -> list[Task]:
        """The types of samples in its mixtures."""
        return [task for task in TASKS if any(getattr(ratio, task) for ratio in self.ratios)]


class Quota(NamedTuple):
    """How many samples of each type one step holds."""

    understanding: int
    generation: int
    text: int
    reconstruction: int = 0
    editing: int = 0


def rate_factor(stage: StageConfig, step: int) -> float:
    """The learning rate at ``step`` as a share of ``stage.lr``: warm-up, constant, decay."""
    factor = min(1.0, (step + 1) / stage.warmup_steps) if stage.warmup_steps else 1.0
    decay_steps = stage.decay_fraction * stage.steps
    if decay_steps and stage.decay == "linear":
        factor *= min(1.0, max(stage.steps - step, 0) / decay_steps)
    elif decay_steps:
        begin = max(stage.steps - decay_steps, stage.warmup_steps)
        passed = min(max(step - begin, 0) / max(stage.steps - begin, 1), 1)
        factor *= 0.5 * (1 + math.cos(math.pi * passed))
    return factor


def taken(stage: StageConfig, step: int) -> Quota:
    """Samples of each type before ``step``. Fractions carry over, so that each mixture holds over many steps."""
    counts = Quota(0, 0, 0)
    begin = 0
    for ratio in stage.ratios:
        end = step if ratio.until is None else min(ratio.until, step)
        if end > begin:
            before, after = _due(ratio, stage.batch_size, begin), _due(ratio, stage.batch_size, end)
            counts = Quota(*(c + a - b for c, a, b in zip(counts, after, before, strict=True)))
            begin = end
    return counts


def _due(ratio: RatioConfig, batch_size: int, step: int) -> Quota:
    """What ``step`` steps of one mixture hold; one of the types that it has takes up the rest."""
    weights = {task: getattr(ratio, task) for task in TASKS}
    total, samples = sum(weights.values()), batch_size * step
    due = {task: int(samples * weight / total + 1e-6) for task, weight in weights.items()}
    order: tuple[Task, ...] = ("generation", "reconstruction", "editing", "text", "understanding")
    filler = next(task for task in order if weights[task])
    due[filler] += samples - sum(due.values())
    return Quota(**due)


def quota(stage: StageConfig, step: int) -> Quota:
    """Whole samples of each type at ``step``."""
    before, after = taken(stage, step), taken(stage, step + 1)
    return Quota(*(a - b for a, b in zip(after, before, strict=True)))


def parts(model: ModelConfig) -> dict[str, tuple[str, ...]]:
    """What stages of such a model can train -> prefixes of the parameters; of losses all that are configured."""
    losses = {name: (f"{loss_module(name, loss)}.",) for name, loss in model.losses.items()}
    return PARTS | {name: prefixes for name, prefixes in losses.items() if name not in PARTS}


def check_parts(name: str, train: Sequence[str], model: ModelConfig) -> None:
    """Raise ``ValueError`` where the stage ``name`` trains what such a model does not have."""
    known = parts(model)
    unknown = sorted(set(train) - {*known, "repa"})
    if unknown:
        raise ValueError(f"unknown part {unknown[0]!r} in stages.{name}.train; choose from {', '.join(known)}")


def trained(model: UnifiedModel, stage: StageConfig) -> dict[str, nn.Parameter]:
    """The parameters that the stage trains, by name; of an LLM with an adapter that alone."""
    known, llm = parts(model.config), PARTS["llm"]
    prefixes = tuple(prefix for part in stage.train for prefix in known.get(part, ()))
    frozen = (*NEVER_TRAINED, *llm) if has_adapter(model) else NEVER_TRAINED
    named = model.named_parameters()
    return {n: p for n, p in named if n.startswith(prefixes) and (is_adapter(n) or not n.startswith(frozen))}


def trained_names(model: UnifiedModel, stages: Iterable[StageConfig]) -> frozenset[str]:
    """The names of the parameters that any of the stages trains."""
    return frozenset(name for stage in stages for name in trained(model, stage))


def freeze(model: UnifiedModel, stage: StageConfig) -> None:
    """Set ``requires_grad`` of every parameter of the model to what the stage says."""
    model.requires_grad_(False)
    for parameter in trained(model, stage).values():
        parameter.requires_grad_()
