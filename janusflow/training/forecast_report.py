"""The plan of a run as text: tables of memory and steps, and what would make it fit (``--plan``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import torch

from janusflow.config import overridden_key
from janusflow.data.config import TASKS, DataConfig
from janusflow.data.sources import MixedSource
from janusflow.models.shapes import size_text as size_of
from janusflow.training.config import RunConfig
from janusflow.training.forecast import USED, Forecast, StageForecast, processes, without_weights
from janusflow.training.memory import kinds, shards, size_text
from janusflow.training.plan import describe_model
from janusflow.training.preflight import check_adapter
from janusflow.training.stages import StageConfig, taken

CUDA_OWN = 0.7e9  # bytes that CUDA and its libraries hold


def describe(forecast: Forecast, memory: float | None) -> tuple[str, bool]:
    """The plan as text, and whether it fits ``memory`` bytes (None: the GPU's own, or any on a CPU)."""
    config = forecast.config
    found = forecast.stages()
    divided = shards(config.trainer, processes(config))
    lines = [describe_model(without_weights(forecast.sizes, config), config, divided), ""]
    lines += memory_table(found, divided, config.optim.algorithm)
    for name, stage in found.items():
        lines += ["", *step_lines(forecast, name, stage)]
    if config.data.buckets:
        shapes = (f"{size_of(one.size)} ({one.grid.tokens} tokens)" for one in forecast.buckets)
        lines.append(f"generated images: {', '.join(shapes)} pixels, each in the nearest shape")
    if forecast.elsewhere:
        lines.append(f"not here yet: {', '.join(forecast.elsewhere)}; all texts are taken to have 64 words")
    if forecast.codec is None:
        lines.append(f"not here yet: the image codec {config.parts.codec(forecast.sizes.head)}, which is not counted")
    if memory is None and torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory
    if memory is None:
        return "\n".join(lines), True
    total = forecast.at_peak() + CUDA_OWN
    fits = total <= memory
    lines += ["", f"{'fits' if fits else 'does not fit'} {memory / 1e9:g} GB: {size_text(total)} with CUDA's own"]
    if not fits:
        lines += suggestions(forecast, memory)
    return "\n".join(lines), fits


def memory_table(found: dict[str, StageForecast], divided: int, algorithm: str) -> list[str]:
    """Memory of one process by kind, a column for each stage."""
    rows = {
        name: [size / divided for size in sizes] for name, sizes in kinds([s.needs for s in found.values()]).items()
    }
    rows = {f"{algorithm} state" if name == "optimizer" else name: sizes for name, sizes in rows.items()}
    rows["image codec"] = [stage.codec for stage in found.values()]
    rows["activations"] = [stage.activations for stage in found.values()]
    rows["at the peak"] = [stage.total(divided) for stage in found.values()]
    lines = [f"{'memory, MB a process':<24} " + "".join(f"{name:>10}" for name in found)]
    lines += [f"{name:<24} " + "".join(f"{size / 1e6:>10,.0f}" for size in sizes) for name, sizes in rows.items()]
    return [*lines, f"{'rows of a micro-batch':<24} " + "".join(f"{stage.rows:>10}" for stage in found.values())]


def step_lines(forecast: Forecast, name: str, found: StageForecast) -> list[str]:
    """What a stage's steps hold, and how its sources are gone through."""
    stage = forecast.config.stages[name]
    hours = found.seconds * stage.steps / 3600
    lines = [
        f"{name}: a step has about {found.tokens:,.0f} tokens and {found.images:,} images, and takes about "
        f"{found.seconds:.2g} s; {stage.steps:,} steps, {hours:.2g} hours (at {USED:.0%} of what the device can do)"
    ]
    if stage.rollout is not None:
        lines.append(
            f"  NOT COUNTED: time and memory of drawing {stage.rollout.images:,} images every {stage.rollout.updates} "
            "steps, and what the loss asks other models of them; training on them is"
        )
    if isinstance(forecast.source, MixedSource):
        lines += source_lines(forecast.source, forecast.config.data, stage, found.seconds)
    return lines


def source_lines(source: MixedSource, data: DataConfig, stage: StageConfig, seconds: float) -> Iterator[str]:
    """For every source and task: samples a step, and the steps and hours of an epoch."""
    totals, configs = taken(stage, stage.steps), data.used_sources
    for task in TASKS:
        names = source.names[task]
        weights = sum(configs[name].weight for name in names)
        for name in names:
            a_step = getattr(totals, task) / stage.steps * configs[name].weight / weights
            samples = len(source.readers[name]) - source.held[name]
            if not a_step:
                continue
            steps = samples / a_step
            epoch = f"an epoch of {samples:,} is {steps:,.0f} steps, {steps * seconds / 3600:.2g} hours"
            yield f"  {task} from {name}: {a_step:.3g} a step; " + (epoch if samples < 1e15 else "endless")


def suggestions(forecast: Forecast, memory: float) -> list[str]:
    """Up to three changes of the configuration that would fit, those of the fewest settings first."""
    levers, lines = [*changes(forecast.config)], []
    found: list[tuple[tuple[str, ...], ...]] = []
    for chosen in (chosen for size in (1, 2, 3) for chosen in combinations(levers, size)):
        settings = [setting for lever in chosen for setting in lever]
        known = any(set(smaller) <= {*chosen} for smaller in found)  # it fits with fewer changes
        if known or not goes_together(forecast, settings):
            continue
        if forecast.before_activations(*settings) + CUDA_OWN > memory:
            continue
        total = forecast.at_peak(*settings) + CUDA_OWN
        if total <= memory:
            found.append(chosen)
            lines.append(f"  {' '.join(settings)}   ({size_text(total)})")
        if len(found) == 3:
            break
    if not found:
        return ["nothing that is known here makes it fit: take a smaller model, or more processes with fsdp"]
    return [f"{'this' if len(found) == 1 else 'any of these'} would:", *lines]


def goes_together(forecast: Forecast, settings: Sequence[str]) -> bool:
    """Whether a run may have all of the settings."""
    keys = [overridden_key(setting) for setting in settings]
    try:
        check_adapter(forecast.load(settings))
    except ValueError:
        return False
    return len(set(keys)) == len(keys)


def changes(config: RunConfig) -> Iterator[tuple[str, ...]]:
    """What makes a run smaller, from what costs least; each some overrides that belong together."""
    trainer, llm = config.trainer, [name for name, stage in config.stages.items() if "llm" in stage.train]
    if not trainer.checkpoint_activations:
        yield ("trainer.checkpoint_activations=true",)
    least = min(stage.batch_size for stage in config.stages.values()) // processes(config)
    if least > trainer.accumulate:
        yield (f"trainer.accumulate={least}",)
    if config.optim.ema_decay is not None:
        yield ("optim.ema_decay=null",)
    if config.parts.checkpoint is not None and llm and not config.adapter.rank:
        yield ("adapter.rank=16", "adapter.base_bits=16", *(f"stages.{name}.train=[llm]" for name in llm))
    if config.adapter.rank and config.adapter.base_bits > 4:
        yield ("adapter.base_bits=4",)
    others = {name: [part for part in config.stages[name].train if part not in ("llm", "siglip")] for name in llm}
    if llm and all(others.values()) and not config.adapter.rank:
        yield tuple(f"stages.{name}.train=[{','.join(parts)}]" for name, parts in others.items())
    if not config.adapter.rank and processes(config) < 8:
        yield ("trainer.strategy=fsdp", "trainer.devices=8")
