"""What a run will take, told before it loads anything: memory by kind, tokens, images, epochs, time (``--plan``).

The model is built without values; image codec and sources are opened where they are on this machine. Activations are
those of the fullest of the first steps of every mixture (:mod:`.trace`).
"""

from __future__ import annotations

import copy
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from janusflow.adapters import add_adapter
from janusflow.checkpoints.codecs import load_codec
from janusflow.codecs.base import ImageCodec
from janusflow.data.buckets import buckets_of
from janusflow.data.config import DataConfig
from janusflow.data.mixture import share
from janusflow.data.readers.files import URL
from janusflow.data.reconstruction import ReconstructionConfig
from janusflow.data.rows import RowBuilder
from janusflow.data.sample import Batch, GenerationSample, TextSample, UnderstandingSample
from janusflow.data.sources import MixedSource, open_readers
from janusflow.models.unified import ModelConfig, UnifiedModel
from janusflow.rl.policy import PolicyLoss
from janusflow.rl.prompts import PROMPTS
from janusflow.rl.rollouts import PROMPTS_STREAM
from janusflow.training.build import locate, read_start
from janusflow.training.config import RunConfig
from janusflow.training.data import Part, StepDataset
from janusflow.training.memory import WIDE, Needs, count, shards, stage_needs
from janusflow.training.prepare import lightning_precision, prepare_blocks, reference_of
from janusflow.training.stages import StageConfig, freeze, quota, trained_names
from janusflow.training.throughput import peak_flops, step_flops
from janusflow.training.trace import step_peak

LOOKED_AT = 2  # first steps of every mixture
ASSUMED = "word " * 64  # every text of sources that are not here yet
USED = 0.4  # share of a device's peak that training reaches
DEEP = 8  # LLM blocks, from which on the activations of fewer are continued


class StageForecast(NamedTuple):
    """A stage on one process."""

    needs: Needs
    activations: int  # bytes at the peak, beside weights and gradients
    codec: int  # bytes of the image codec
    tokens: float  # of a step, on all processes
    images: int
    seconds: float  # of a step
    rows: str

    def total(self, divided: int) -> float:
        """Bytes of memory at the peak."""
        return self.needs.memory / divided + self.activations + self.codec


class AssumedSource:
    """Samples of sources that are still elsewhere: images of the run's size, texts of 64 words."""

    def __init__(self, data: DataConfig) -> None:
        side = data.image_size
        self.images = [Image.new("RGB", (width, height)) for height, width in data.buckets or [[side, side]]]

    def understanding(self, index: int) -> UnderstandingSample:
        return UnderstandingSample(self.images[:1], [(ASSUMED, ASSUMED)])

    def generation(self, index: int, first_sentence: float) -> GenerationSample:
        return GenerationSample(self.images[index % len(self.images)], ASSUMED)

    def text(self, index: int) -> TextSample:
        return TextSample(ASSUMED)

    def reconstruction(self, index: int, config: ReconstructionConfig) -> GenerationSample:
        image = self.images[index % len(self.images)]
        return config.prompted(GenerationSample(image, ""), np.random.default_rng(index))

    def editing(self, index: int) -> GenerationSample:
        return GenerationSample(self.images[0], ASSUMED, images=self.images[:1])


class Forecast:
    """What a run will take, and would with changes. Raises ``ValueError`` as a run's start does.

    load: the run's configuration with some overrides more.
    """

    def __init__(self, load: Callable[[Sequence[str]], RunConfig]) -> None:
        self.load = load
        self.config = config = load([])
        self.sizes, self.template = read_start(config)
        self.buckets = buckets_of(config.data.buckets, self.sizes)
        self.found: dict[str, int] = {}  # activations and gradients, by what they depend on
        self.elsewhere = [
            name for name, own in config.data.used_sources.items() if URL.match(str(getattr(own, "path", "")))
        ]
        self.source: Any = AssumedSource(config.data)
        if not self.elsewhere:
            self.source = MixedSource(config.data, config.seed, open_readers(config.data))
        self.codec = find_codec(config.parts.codec(self.sizes.head))

    def stages(self, *changes: str) -> dict[str, StageForecast]:
        """The stages as the run has them, or with changes."""
        config = self.load(changes) if changes else self.config
        return {name: self.stage(config, name) for name in config.stages}

    def at_peak(self, *changes: str) -> float:
        """Bytes that a process holds at most."""
        config = self.load(changes) if changes else self.config
        divided = shards(config.trainer, processes(config))
        return max(stage.total(divided) for stage in self.stages(*changes).values())

    def before_activations(self, *changes: str) -> float:
        """Bytes that a process holds without any."""
        config = self.load(changes)
        model, divided = without_weights(self.sizes, config), shards(config.trainer, processes(config))
        return max(stage_needs(model, stage, config).memory for stage in config.stages.values()) / divided

    def stage(self, config: RunConfig, name: str) -> StageForecast:
        """One stage."""
        stage = config.stages[name]
        model = without_weights(self.sizes, config)
        freeze(model, stage)
        fullest = max(self.first_steps(config, name), key=lambda batches: max(b.rows.ids.numel() for b in batches))
        lengths = torch.cat([batch.rows.lengths() for batch in fullest])
        und, gen = sum(len(b.und_pixels) for b in fullest), sum(b.generated for b in fullest)
        flops = step_flops(model, lengths, und, gen)
        needs = stage_needs(model, stage, config)
        gradients = WIDE * count(p for p in model.parameters() if p.requires_grad)
        rows = max((batch.rows.ids.shape for batch in fullest), key=lambda shape: shape[0] * shape[1])
        peak = self.peak(config, stage, sorted(fullest, key=lambda b: -b.rows.ids.numel())[:2])
        codec = 0 if self.codec is None else sum(p.numel() * p.element_size() for p in self.codec.module.parameters())
        return StageForecast(
            needs,
            max(0, peak - gradients),
            codec,
            float(lengths.sum()) * processes(config),
            (und + gen) * processes(config),
            flops / device_rate(lightning_precision(config.trainer.precision)),
            f"{rows[0]} x {rows[1]}",
        )

    def first_steps(self, config: RunConfig, name: str) -> Iterator[list[Batch]]:
        """One process's micro-batches in the first steps of every mixture of a stage."""
        stage = config.stages[name]
        longest = config.data.max_length or self.sizes.llm.max_positions
        builder = RowBuilder(self.template, self.sizes.vision.image_size, longest, buckets=self.buckets)
        part = Part(0, processes(config), config.trainer.accumulate)
        number = list(config.stages).index(name)
        data = StepDataset(self.source, builder, stage, config.data, [config.seed, number], part)
        begins = [0, *(ratio.until for ratio in stage.ratios[:-1] if ratio.until is not None)]
        for step in [begin + more for begin in begins for more in range(LOOKED_AT)]:
            if step < stage.steps:
                yield [*data[step].micro_batches, *self.drawn(config, name, builder, part, step)]

    def drawn(self, config: RunConfig, name: str, builder: RowBuilder, part: Part, step: int) -> Iterator[Batch]:
        """What the model is to draw for the step and train on, as :class:`Rollouts` packs it; latents are zeros."""
        stage, rollout = config.stages[name], config.stages[name].rollout
        if rollout is None:
            return
        model = without_weights(self.sizes, config)
        policy = next(loss for loss in model.losses.values() if isinstance(loss, PolicyLoss))
        halves = policy.halves(self.sizes.head.sampling(config.sampling, rollout.sampling))
        seed = [config.seed, list(config.stages).index(name), PROMPTS_STREAM]
        prompts = PROMPTS.load(rollout.prompts.kind)(rollout.prompts).draw(seed, 0, rollout.prompts_per_round)
        latent = torch.zeros(model.head.latent_shape, dtype=model.head.latent_dtype)
        parts = part.ranks * part.micro_batches
        for number in range(part.micro_batches):
            own = share(quota(stage, step).generation, part.rank * part.micro_batches + number, parts)
            samples = [GenerationSample(None, prompts[i % len(prompts)]["prompt"], latent) for i in own]
            found = [builder.generation(sample, True, drop) for drop in (False, True)[:halves] for sample in samples]
            yield builder.collate(found, [], samples * halves)

    def peak(self, config: RunConfig, stage: StageConfig, batches: Sequence[Batch]) -> int:
        """Bytes of activations and gradients; of a deep LLM continued from what fewer blocks take."""
        blocks = self.sizes.llm.num_layers
        losses = without_weights(self.sizes, config).losses.values()
        least = 1 + max((tap for loss in losses for tap in loss.taps), default=1)
        if blocks <= max(DEEP, least + 1):
            return self.traced(self.sizes, config, stage, batches)
        shallow = (dataclasses.replace(self.sizes.llm, num_layers=number) for number in (least, least + 2))
        fewer = (dataclasses.replace(self.sizes, llm=llm) for llm in shallow)
        low, high = (self.traced(sizes, config, stage, batches) for sizes in fewer)
        return low + (high - low) * (blocks - least) // 2

    def traced(self, sizes: ModelConfig, config: RunConfig, stage: StageConfig, batches: Sequence[Batch]) -> int:
        """Bytes of activations and gradients of a model of ``sizes``; the same is not done twice."""
        trainer, adapter = config.trainer, config.adapter
        key = (sizes.llm.num_layers, stage.train, adapter, trainer.checkpoint_activations, trainer.accumulate)
        shapes = [
            (
                batch.rows.ids.shape,
                len(batch.und_pixels),
                len(batch.source_pixels),
                [len(slots) for slots in batch.rows.drawn],
            )
            for batch in batches
        ]
        kept = repr((*key, processes(config), shapes))
        if kept not in self.found:
            self.found[kept] = self._trace(sizes, config, stage, batches)
        return self.found[kept]

    def _trace(self, sizes: ModelConfig, config: RunConfig, stage: StageConfig, batches: Sequence[Batch]) -> int:
        model = without_weights(sizes, config)
        names = trained_names(model, config.stages.values()) if config.adapter.rank else None
        reference = reference_of(model, names)
        prepare_blocks(model, dataclasses.replace(config.trainer, compile=False))
        freeze(model, stage)
        low = lightning_precision(config.trainer.precision) == "bf16-mixed"
        return step_peak(model, batches, copy.deepcopy(self.codec), reference, low)


def processes(config: RunConfig) -> int:
    """How many the run has."""
    return int(os.environ.get("WORLD_SIZE", config.trainer.devices))


def without_weights(sizes: ModelConfig, config: RunConfig) -> UnifiedModel:
    """The run's model on the meta device."""
    with torch.device("meta"):
        model = UnifiedModel(sizes)
        if config.adapter.rank:
            bits = max(16, config.adapter.base_bits)  # fewer are a matter of counting
            add_adapter(model.llm.causal_lm, dataclasses.replace(config.adapter, base_bits=bits))
    return model


def find_codec(path: str) -> ImageCodec | None:
    """The image codec, where it is on this machine."""
    return load_codec(locate(path)) if Path(locate(path)).exists() else None


@lru_cache
def device_rate(precision: str) -> float:
    """FLOP/s that training reaches here: a share of the GPU's peak, or of what a product of matrices reaches."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    peak = peak_flops(device)
    if peak is None:
        side, dtype = 512, torch.bfloat16 if precision == "bf16-mixed" else torch.float32
        x = torch.ones(side, side, dtype=dtype, device=device)
        x @ x
        start = time.perf_counter()
        for _ in range(10):
            y = x @ x
        float(y[0, 0])
        peak = 10 * 2 * side**3 / (time.perf_counter() - start)
    return USED * peak
