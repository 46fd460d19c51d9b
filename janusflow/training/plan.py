"""What a run is going to do: its parts and stages in words, and whether its settings go together."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from janusflow.data.config import Task
from janusflow.data.sources import MixedSource
from janusflow.models.unified import ModelConfig, UnifiedModel
from janusflow.training.config import RunConfig
from janusflow.training.memory import Needs, kinds, size_text, stage_needs
from janusflow.training.optim import OptimConfig
from janusflow.training.stages import RatioConfig, StageConfig, parts, taken


def check_stages(stages: dict[str, StageConfig], model: ModelConfig, offered: Collection[str]) -> None:
    """Raise ``ValueError`` for a stage that trains what has no gradient, or wants samples that no source offers."""
    for name, stage in stages.items():
        if "siglip" in stage.train and model.sees_latents:
            raise ValueError(
                f"{name} trains siglip, which understanding with und_encoder {model.und_encoder} never uses"
            )
        if stage.train == ["repa"] and "repa" not in model.used_losses:
            raise ValueError(f"{name} trains repa alone, and model.losses.repa has no weight")
        if "reconstruction" in stage.tasks and model.sees_latents:
            raise ValueError(
                f"{name} wants reconstruction, and understanding with und_encoder {model.und_encoder} sees the very "
                f"latents that are to be drawn: set stages.{name}.ratios without"
            )
        if "reconstruction" in stage.tasks and model.source_latents:
            raise ValueError(
                f"{name} wants reconstruction, and with model.source_latents prompts show the very latents that are to "
                f"be drawn: set stages.{name}.ratios without"
            )
        for task in stage.tasks:
            if task not in offered and not (task == "generation" and stage.rollout is not None):  # the model draws
                raise ValueError(
                    f"{name}'s mixture wants {task} samples, and no source gives any: add one, or set "
                    f"stages.{name}.ratios without"
                )


def check_disk(folder: Path, needs: Sequence[Needs], keep: int) -> None:
    """Say on stderr where the disk of a run's ``folder`` is too small for its states and ``model/``.

    needs: of the stages to come, in order. Raises ``ValueError`` where not even the next state fits.
    """
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free < needs[0].state:
        raise ValueError(f"a training state takes {size_text(needs[0].state)}, and {place} has {size_text(free)} free")
    there = [file for name in ("checkpoints", "model") for file in (folder / name).rglob("*") if file.is_file()]
    free += sum(file.stat().st_size for file in there)
    wanted = disk(needs, keep)
    if free < wanted:
        print(f"warning: the run takes {size_text(wanted)} of disk, and {place} has {size_text(free)}", file=sys.stderr)


def disk(needs: Sequence[Needs], keep: int) -> int:
    """Bytes of the largest stage's states, with the one that is written before an older one goes, and of ``model/``."""
    return max(need.state for need in needs) * (keep + 1) + needs[0].exported


def describe_model(model: UnifiedModel, config: RunConfig, shards: int = 1) -> str:
    """A table of the parts, their millions of parameters, and the stages that train them; and of memory and disk.

    shards: processes that the model is divided among.
    """
    stages, keep = config.stages, config.trainer.keep
    trains = {"llm": "adapter"} if config.adapter.rank else {}
    lines = [f"{'part':<15}{'M params':>9}  " + "".join(f"{name:>10}" for name in stages)]
    for part, prefixes in parts(model.config).items():
        count = sum(p.numel() for name, p in model.named_parameters() if name.startswith(prefixes))
        marks = (trains.get(part, "trains") if part in stage.train else "frozen" for stage in stages.values())
        lines.append(f"{part:<15}{count / 1e6:>9.2f}  " + "".join(f"{mark:>10}" for mark in marks))
    needs = [stage_needs(model, stage, config) for stage in stages.values()]
    rows = {"steps": [stage.steps for stage in stages.values()]}
    rows |= {kind: [round(size / shards / 1e6) for size in sizes] for kind, sizes in kinds(needs).items()}
    rows["state on disk"] = [round(need.state / 1e6) for need in needs]
    units = {"steps": "", "state on disk": "MB"}
    for name, values in rows.items():
        title = f"{config.optim.algorithm} state" if name == "optimizer" else name
        label = f"{title:<15}{units.get(name, 'MB/process'):>10} "
        lines.append(label + "".join(f"{value:>10,}" for value in values))
    total = max(need.memory for need in needs) / shards
    lines.append(
        f"memory: {size_text(total)} a process before activations; "
        f"disk: {size_text(disk(needs, keep))} ({keep} + 1 states, model/)"
    )
    return "\n".join(lines)


def describe_stage(
    name: str, stage: StageConfig, optim: OptimConfig, source: MixedSource, processes: int = 1, micro_batches: int = 1
) -> str:
    """The plan of one stage, a few lines. Its steps are divided among ``processes`` with ``micro_batches`` each."""
    totals, tasks = taken(stage, stage.steps), stage.tasks
    decay = (
        f", {stage.decay} decay over the last {round(stage.decay_fraction * stage.steps):,}"
        if stage.decay_fraction
        else ""
    )
    divided = f" on {processes} processes" * (processes > 1) + f", in {micro_batches} micro-batches" * (
        micro_batches > 1
    )
    form = "chat turns" if stage.instruction else "plain prompts"
    late = "" if stage.warmup_steps <= stage.steps else " (warning: longer than the stage)"
    return "\n".join(
        [
            f"{name}: {stage.steps:,} steps of {stage.batch_size} samples{divided}",
            f"  rate     {stage.lr:g} ({optim.algorithm}), {stage.warmup_steps:,} steps of warm-up{late}{decay}",
            f"  mixture  {' : '.join(tasks)} = {', then '.join(_ratio(ratio, tasks) for ratio in stage.ratios)}",
            f"  samples  {', '.join(f'{getattr(totals, task):,} {task}' for task in tasks)}; images from {form}",
            f"  source   {source.describe()}",
        ]
    )


def _ratio(ratio: RatioConfig, tasks: Sequence[Task]) -> str:
    share = " : ".join(f"{getattr(ratio, task):g}" for task in tasks)
    return share if ratio.until is None else f"{share} until step {ratio.until:,}"
