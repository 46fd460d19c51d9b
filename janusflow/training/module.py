"""The LightningModule of every stage: a step of training, whatever the number of ranks and micro-batches.

Optimization is manual: a step is a pure function of the step's number, several micro-batches share one normalization,
and an update can be left out.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from torch import Tensor

from janusflow.adapters import frozen_base
from janusflow.codecs.base import ImageCodec
from janusflow.data.sample import Batch, Step
from janusflow.losses import IGNORED
from janusflow.models.unified import Aside, Counts, Drawn, UnifiedModel
from janusflow.rl.rollouts import Rollouts, Share
from janusflow.training import distributed
from janusflow.training.data import HeldOut
from janusflow.training.ema import EMA, follow
from janusflow.training.optim import OptimConfig, build_optimizer, clip_gradients, set_rate
from janusflow.training.stages import StageConfig, quota, rate_factor, taken


class StepResult(NamedTuple):
    """What one step did, the same on every rank; for callbacks."""

    step: int  # of the stage, counted from 0
    losses: dict[str, Tensor]  # by name, summed over this rank's micro-batches only; add up over ranks
    gradient_norm: float
    skipped: bool
    stop: bool  # some rank was asked to end
    lengths: Tensor  # (samples,) tokens of each sample of this rank
    positions: int  # of this rank, padding included
    und_images: int
    gen_images: int
    faults: list[str]  # this rank's samples that could not be read
    all_faults: int  # how many on all ranks
    left_out: int  # of this rank, because the settings do not want them
    notes: dict[str, float]  # of the rollouts, the same on every rank


class UnifiedModule(L.LightningModule):
    """Trains a :class:`UnifiedModel` through one stage at a time; :meth:`enter` sets the stage."""

    def __init__(
        self,
        model: UnifiedModel,
        codec: ImageCodec,
        optim: OptimConfig,
        reference: UnifiedModel | None = None,
        old: UnifiedModel | None = None,
        kept: Collection[str] | None = None,
    ) -> None:
        """``reference``: the model that the run began with, for losses that ask it; it stays as it is. ``old``: a copy
        that draws and follows the weights slowly, likewise.

        ``kept``: names of the parameters that some stage of an adapter's run trains. Only these have averages of their
        own and are part of training states. None: all.
        """
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.kept = kept
        self.ema = None if optim.ema_decay is None else EMA(model, optim.ema_decay, frozen_base(model, kept))
        self._beside = (reference, old)  # in a tuple: no parts of this module, which trains and is saved
        self.rollouts: Rollouts | None = None
        self.codec = codec
        self.optim_config = optim
        self.stage: StageConfig | None = None
        self.first_step = 0
        self.dropout_seed: tuple[int, ...] | None = None
        self.stop_requested = False
        self.result: StepResult | None = None
        self.skipped_in_a_row = 0
        self.step_ended: float | None = None

    def enter(
        self,
        stage: StageConfig,
        first_step: int,
        rollouts: Rollouts | None = None,
        dropout_seed: tuple[int, ...] | None = None,
    ) -> None:
        """Make ``stage`` the one that trains, from ``first_step`` on; ``rollouts``: what it learns of, if it does;
        ``dropout_seed``: its own, of runs that drop."""
        self.stage, self.first_step, self.result, self.step_ended = stage, first_step, None, None
        self.rollouts, self.dropout_seed = rollouts, dropout_seed

    @property
    def reference(self) -> UnifiedModel | None:
        """The model that the run began with, where losses ask it."""
        return self._beside[0]

    @property
    def old(self) -> UnifiedModel | None:
        """The copy that draws, where a loss asks it."""
        return self._beside[1]

    @property
    def exported(self) -> UnifiedModel:
        """What is drawn with, scored and exported: the averaged model, or without an average the trained one."""
        return self.model if self.ema is None else self.ema.model

    @property
    def steps_done(self) -> int:
        """Steps of the stage that are done."""
        return self.first_step if self.result is None else self.result.step + 1

    @property
    def progress(self) -> float:
        """Share of the stage that is done."""
        assert self.stage is not None
        return self.steps_done / self.stage.steps

    @property
    def is_last_step(self) -> bool:
        """Whether the stage is done."""
        return self.stage is not None and self.steps_done == self.stage.steps

    def configure_model(self) -> None:
        """Nothing: where the strategy is FSDP2, the models come sharded."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        assert self.stage is not None, "enter() a stage first"
        decay = self.stage.weight_decay
        config = self.optim_config if decay is None else dataclasses.replace(self.optim_config, weight_decay=decay)
        dtype = torch.bfloat16 if self.trainer.precision.startswith("bf16") else torch.float32
        return build_optimizer(self.model, self.stage.lr, config, dtype)

    def on_fit_start(self) -> None:
        self.codec.to(self.device)
        for model in filter(None, self._beside):
            model.to(self.device)

    def on_validation_start(self) -> None:
        self.codec.to(self.device)

    def on_train_batch_end(self, *args: Any) -> None:
        """Lightning calls it behind all callbacks: what is left until the next step is waiting for data."""
        self.step_ended = time.perf_counter()

    def training_step(self, data: Step, batch_idx: int) -> None:
        """One optimizer step on this rank's micro-batches."""
        assert self.stage is not None
        step = self.first_step + batch_idx
        drawn = self.drawn(step, len(data.micro_batches))
        batches = [*((batch, None) for batch in data.micro_batches), *drawn]
        if self.dropout_seed is not None:
            torch.manual_seed(step_seed(*self.dropout_seed, step, distributed.rank()))
        counts, stop, all_faults = self.agree(data, [batch for batch, _ in drawn])
        totals = {name: torch.zeros((), device=self.device) for name in self.model.weights}
        for number, (batch, verdicts) in enumerate(batches):
            distributed.set_gradient_sync(self.model, self.trainer.model, on=number == len(batches) - 1)
            losses = self.losses(batch, counts, verdicts=verdicts)
            self.manual_backward(self.model.total(losses) * distributed.world_size())  # gradients are averaged
            totals |= {name: totals.get(name, 0) + loss.detach() for name, loss in losses.items()}
        norm = self.update(step)
        self.result = StepResult(
            step,
            totals,
            norm,
            skipped=self.skipped_in_a_row > 0,
            stop=stop,
            lengths=torch.cat([batch.rows.lengths() for batch, _ in batches]),
            positions=sum(batch.rows.ids.numel() for batch, _ in batches),
            und_images=sum(len(batch.und_pixels) for batch, _ in batches),
            gen_images=sum(batch.generated for batch, _ in batches),
            faults=data.faults,
            all_faults=all_faults,
            left_out=data.left_out,
            notes={} if self.rollouts is None or self.rollouts.round is None else self.rollouts.round.notes,
        )

    def drawn(self, step: int, parts: int) -> list[tuple[Batch, Drawn]]:
        """This rank's share of what the model drew for the step, in ``parts`` micro-batches; at a round's begin it is
        drawn."""
        if self.rollouts is None:
            return []
        assert self.stage is not None
        first = step - step % self.rollouts.config.updates
        self.begin_round(first // self.rollouts.config.updates, new=step == first)
        before, count = taken(self.stage, step).generation, quota(self.stage, step).generation
        start, ranks = before - taken(self.stage, first).generation, distributed.world_size()
        shares = [Share(distributed.rank() * parts + number, ranks * parts) for number in range(parts)]
        found = [self.rollouts.batch(step, start, count, own) for own in shares]
        there = self.trainer.strategy.batch_to_device(found)
        return [(batch, Drawn(values, self.rollouts.options)) for batch, values in there]

    def forget(self, step: int) -> None:
        """Remove what no state from ``step`` on needs."""
        if self.rollouts is not None and distributed.is_main():
            self.rollouts.forget(step // self.rollouts.config.updates)

    def begin_round(self, number: int, new: bool) -> None:
        """Have the images of round ``number``; ``new``: its first step is at hand. All ranks must call it."""
        rollouts = self.rollouts
        assert rollouts is not None
        if rollouts.round is not None and rollouts.round.number == number:
            return
        if self.old is not None and new:
            follow(self.old, self.model, rollouts.policy.keep(number))
        model = self.model if self.old is None else self.old
        if new or self.old is not None:  # else the weights have moved on, and what was drawn must be there
            training = model.training
            with torch.compiler.set_stance("force_eager"), distributed.gathered(model.eval()):
                distributed.together(partial(rollouts.draw, number, model))
            model.train(training)
        distributed.barrier()
        rollouts.round = distributed.together(partial(rollouts.load, number))

    def validation_step(self, data: HeldOut, batch_idx: int) -> dict[str, float]:
        """The losses of a source's held-out samples, by the weights that are exported; the same on all ranks."""
        counts, _, _ = self.agree(data)
        parts = [self.losses(batch, counts, self.exported) for batch in data.micro_batches]
        sums = distributed.sum_over_ranks(
            torch.stack([torch.stack([part[name] for part in parts]).sum() for name in parts[0]])
        )
        by_name = dict(zip(parts[0], sums.tolist(), strict=True))
        found = {f"validation/{data.source}/{name}": value for name, value in by_name.items() if value}  # 0: no sample
        if self.trainer.validating:  # Lightning's own loop; while training, a callback logs
            self.log_dict(found, batch_size=1)
        return found

    def losses(
        self, batch: Batch, counts: Counts, model: UnifiedModel | None = None, verdicts: Drawn | None = None
    ) -> dict[str, Tensor]:
        """This micro-batch's share of the step's losses, of the model that trains or another."""
        model = self.model if model is None else model
        latents = batch.gen_latents if batch.gen_latents is not None else self.encode(batch.gen_pixels)
        seen = self.encode(batch.und_pixels) if self.model.config.sees_latents else batch.und_pixels
        images = (seen, batch.gen_pixels, latents, batch.seeds)
        aside = Aside(self.reference, self.old, self.progress, batch.noise, verdicts)
        sources = self.encode(batch.source_pixels) if self.model.config.source_latents else None
        further = batch.further_encoded(self.encode)
        with distributed.opened(self.reference), distributed.opened(self.old):
            return model(batch.rows, batch.labels, *images, counts, aside, sources, further)

    def agree(self, data: Step | HeldOut, drawn: Sequence[Batch] = ()) -> tuple[Counts, bool, int]:
        """On all ranks: what the step's losses are means over, whether any was asked to end, the number of faults."""
        supervised = sum(int((batch.labels != IGNORED).sum()) for batch in data.micro_batches)
        pictures = sum(batch.generated for batch in (*data.micro_batches, *drawn))
        numbers = [supervised, pictures, int(self.stop_requested), len(data.faults)]
        sums = distributed.sum_over_ranks(torch.tensor(numbers, device=self.device))
        _, _, stop, faults = sums.tolist()
        return Counts(sums[0], sums[1]), stop > 0, faults

    def update(self, step: int) -> float:
        """Clip, step the optimizer and the average, unless the gradient is not finite. The gradient's global norm.

        Raises ``ValueError`` after too many such steps in a row.
        """
        assert self.stage is not None
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        norm = clip_gradients(optimizer, self.optim_config.gradient_clip)
        if norm == norm and norm != float("inf"):
            set_rate(optimizer, self.rate(step))
            optimizer.step()
            if self.ema is not None:
                self.ema.update(self.model)
            self.skipped_in_a_row = 0
        else:
            self.skipped_in_a_row += 1
            if self.skipped_in_a_row > self.optim_config.max_skipped:
                raise ValueError(
                    f"the gradient is not finite in {self.skipped_in_a_row} steps in a row, the last {step}: "
                    "lower the learning rate"
                )
        optimizer.zero_grad(set_to_none=True)
        return norm

    def rate(self, step: int) -> float:
        """The learning rate of the stage's step."""
        assert self.stage is not None
        return self.stage.lr * rate_factor(self.stage, step)

    def encode(self, pixels: Tensor) -> Tensor:
        """Latents (G, …) of pixels (G, 3, H, W), also where G is 0."""
        if len(pixels):
            return self.codec.encode(pixels)
        head = self.model.head
        shape = head.latent_shape_of(self.model.grid_of(pixels))
        return torch.empty(0, *shape, dtype=head.latent_dtype, device=self.device)


def step_seed(*numbers: int) -> int:
    """One seed of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
