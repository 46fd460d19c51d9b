"""What a run is going to do: its parts and stages in words, and whether its settings go together."""

from __future__ import annotations

from collections.abc import Collection

from janusflow.data.config import TASKS
from janusflow.data.sample import Source
from janusflow.models.unified import ModelConfig, UnifiedModel
from janusflow.training.optim import OptimConfig
from janusflow.training.stages import PARTS, RatioConfig, StageConfig, taken


def check_stages(stages: dict[str, StageConfig], model: ModelConfig, offered: Collection[str]) -> None:
    """Raise ``ValueError`` for a stage that trains what has no gradient, or wants samples that no source offers."""
    for name, stage in stages.items():
        if "siglip" in stage.train and model.sees_latents:
            raise ValueError(
                f"{name} trains siglip, which understanding with und_encoder {model.und_encoder} never uses"
            )
        if stage.train == ["repa"] and not model.repa.enabled:
            raise ValueError(f"{name} trains repa alone, and model.repa.enabled is false")
        for task in TASKS:
            if task not in offered and any(getattr(ratio, task) for ratio in stage.ratios):
                raise ValueError(
                    f"{name}'s mixture wants {task} samples, and no source gives any: add one, or set "
                    f"stages.{name}.ratios without"
                )


def describe_model(model: UnifiedModel, stages: dict[str, StageConfig]) -> str:
    """A table of the parts, their millions of parameters, and the stages that train them."""
    lines = [f"{'part':<15}{'M params':>9}  " + "".join(f"{name:>10}" for name in stages)]
    for part, prefixes in PARTS.items():
        count = sum(p.numel() for name, p in model.named_parameters() if name.startswith(prefixes))
        marks = "".join(f"{'trains' if part in stage.train else 'frozen':>10}" for stage in stages.values())
        lines.append(f"{part:<15}{count / 1e6:>9.2f}  {marks}")
    lines.append(f"{'steps':<24}  " + "".join(f"{stage.steps:>10}" for stage in stages.values()))
    return "\n".join(lines)


def describe_stage(
    name: str, stage: StageConfig, optim: OptimConfig, source: Source, processes: int = 1, micro_batches: int = 1
) -> str:
    """The plan of one stage, a few lines. Its steps are divided among ``processes`` with ``micro_batches`` each."""
    totals = zip(TASKS, (getattr(taken(stage, stage.steps), task) for task in TASKS), strict=True)
    decay = (
        f", {stage.decay} decay over the last {round(stage.decay_fraction * stage.steps):,}"
        if stage.decay_fraction
        else ""
    )
    divided = f" on {processes} processes" * (processes > 1) + f", in {micro_batches} micro-batches" * (
        micro_batches > 1
    )
    form = "chat turns" if stage.instruction else "plain prompts"
    return "\n".join(
        [
            f"{name}: {stage.steps:,} steps of {stage.batch_size} samples{divided}",
            f"  rate     {stage.lr:g} ({optim.algorithm}), {stage.warmup_steps:,} steps of warm-up{decay}",
            f"  mixture  {' : '.join(TASKS)} = {', then '.join(map(_ratio, stage.ratios))}",
            f"  samples  {', '.join(f'{count:,} {task}' for task, count in totals)}; images from {form}",
            f"  source   {source.describe()}",
        ]
    )


def _ratio(ratio: RatioConfig) -> str:
    share = " : ".join(f"{getattr(ratio, task):g}" for task in TASKS)
    return share if ratio.until is None else f"{share} until step {ratio.until:,}"
