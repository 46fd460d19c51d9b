"""Where a training step's seconds go, and images a second, of a run's configuration and of variants of it.

``python benchmarks/step.py configs/shapes.yaml --variant "few turns: data.sources.world.turns=1"`` makes the batches of
a stage, then lets all variants take turns at whole steps in one process. Parts are timed one by one on a CPU; figures
are medians; ratios are the first variant's images a second over each one's. A variant is a name and overrides.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from timing import store

from janusflow.config import load_config
from janusflow.data.rows import RowBuilder
from janusflow.data.sample import Step
from janusflow.models.unified import Counts, UnifiedModel
from janusflow.precision import autocast, fast_bf16, fast_dtype
from janusflow.training.build import build_bundle
from janusflow.training.config import RunConfig
from janusflow.training.data import Part, StageData, StepDataset
from janusflow.training.ema import EMA
from janusflow.training.optim import build_optimizer, clip_gradients
from janusflow.training.prepare import prepare_blocks
from janusflow.training.stages import freeze

PARTS = ("data", "codec", "SigLIP", "LLM", "other forward", "backward", "optimizer", "average")


class Stopwatch:
    """Seconds by part; what one part does inside another is the inner one's."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.stack: list[str] = []
        self.since = time.perf_counter()

    def _lap(self) -> None:
        now = time.perf_counter()
        if self.stack:
            self.seconds[self.stack[-1]] += now - self.since
        self.since = now

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Time what happens within as ``part``."""
        self._lap()
        self.stack.append(part)
        yield
        self._lap()
        self.stack.pop()

    def wrapped(self, call: Callable[..., Any], part: str) -> Callable[..., Any]:
        """``call``, timed."""

        def timed(*args: Any, **given: Any) -> Any:
            with self(part):
                return call(*args, **given)

        return timed


class Trainee:
    """One variant: a model, its optimizer and its batches."""

    def __init__(self, overrides: list[str], args: argparse.Namespace) -> None:
        config = load_config(RunConfig, args.config, overrides)
        stage = config.stages[args.stage]
        bundle = build_bundle(config)
        self.model: UnifiedModel = bundle.model
        self.codec = bundle.required_codec
        self.config = config
        freeze(self.model, stage)
        self.average = None if config.optim.ema_decay is None else EMA(self.model, config.optim.ema_decay)
        prepare_blocks(self.model, config.trainer)
        self.optimizer = build_optimizer(self.model, stage.lr, config.optim, fast_dtype(torch.device("cpu")))
        longest = config.data.max_length or self.model.config.llm.max_positions
        builder = RowBuilder(bundle.template, self.model.config.vision.image_size, longest)
        data = StageData(builder, stage, config.data, (config.seed, 0))
        self.steps = StepDataset(data.source, builder, stage, config.data, [config.seed, 0], Part())
        self.number = stage.steps // 2  # where its last mixture holds
        self.watch = Stopwatch()
        self.codec.encode = self.watch.wrapped(self.codec.encode, "codec")  # type: ignore[method-assign]
        self.model.vision.features = self.watch.wrapped(self.model.vision.features, "SigLIP")  # type: ignore[method-assign]
        self.model.run_llm = self.watch.wrapped(self.model.run_llm, "LLM")  # type: ignore[method-assign]

    def step(self) -> tuple[dict[str, float], Step]:
        """Train once: the seconds of each part, and what was trained on."""
        watch, self.watch.seconds = self.watch, defaultdict(float)
        with watch("data"):
            data = self.steps[self.number]
        self.number += 1
        (batch,) = data.micro_batches
        with watch("other forward"), autocast(torch.device("cpu")):
            latents = self.codec.encode(batch.gen_pixels)
            counts = Counts.of(batch.labels, latents)
            pixels = batch.und_pixels
            losses = self.model(batch.rows, batch.labels, pixels, batch.gen_pixels, latents, batch.seeds, counts)
            total = self.model.total(losses)
        with watch("backward"):
            total.backward()
        with watch("optimizer"):
            clip_gradients(self.optimizer, self.config.optim.gradient_clip)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        with watch("average"):
            if self.average is not None:
                self.average.update(self.model)
        return dict(watch.seconds), data


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="configs/shapes.yaml", help="run configuration")
    parser.add_argument("--variant", action="append", default=[], help='"NAME: key=value key=value", more than once')
    parser.add_argument("--stage", default="stage2", help="stage whose step it is")
    parser.add_argument("--repeats", type=int, default=8, help="steps of each variant")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    asked = {"as configured": ""} | dict(one.partition(": ")[::2] for one in args.variant)
    trainees = {name: Trainee(shlex.split(overrides), args) for name, overrides in asked.items()}
    seconds: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in trainees}
    seen: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for turn in range(args.repeats + 1):  # the first one warms up
        for name, trainee in trainees.items():
            parts, data = trainee.step()
            if turn:
                (batch,) = data.micro_batches
                seen[name].append((len(batch.seeds), len(batch.und_pixels), int(batch.rows.lengths().sum())))
                for part in PARTS:
                    seconds[name][part].append(parts.get(part, 0.0))
    rows = {}
    for name in trainees:
        medians = {part: statistics.median(seconds[name][part]) for part in PARTS}
        total = sum(medians.values())
        drawn, looked, tokens = (statistics.fmean(values) for values in zip(*seen[name], strict=True))
        first = next(iter(rows.values()), {"generated images a second": drawn / total})
        rows[name] = {
            "seconds": {part: round(value, 4) for part, value in medians.items()},
            "seconds a step": round(total, 4),
            "generated images": drawn,
            "understood images": looked,
            "tokens": tokens,
            "generated images a second": drawn / total,
            "ratio": round(drawn / total / first["generated images a second"], 2),
        }
        shares = ", ".join(f"{part} {100 * value / total:.0f} %" for part, value in medians.items())
        print(
            f"{name}: {total:.3f} s, a second {drawn / total:.1f} images generated, {looked / total:.1f} understood, "
            f"{tokens / total:.0f} tokens, {rows[name]['ratio']} x\n    {shares}",
            flush=True,
        )
    store(
        {
            "config": args.config,
            "stage": args.stage,
            "variants": {name: {"overrides": asked[name], **row} for name, row in rows.items()},
            "repeats": args.repeats,
            "threads": args.threads,
            "fast_bf16": fast_bf16(torch.device("cpu")),
            "machine": platform.machine(),
            "torch": torch.__version__,
        },
        args.out,
    )


if __name__ == "__main__":
    main()
