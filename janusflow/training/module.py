"""The LightningModule of every stage: it calls the model, logs, and keeps the moving average."""

from __future__ import annotations

from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from janusflow.data.sample import Batch
from janusflow.models.unified import JanusFlow
from janusflow.models.vae import LatentCodec
from janusflow.training.ema import EMA
from janusflow.training.optim import OptimConfig, build_optimizer, build_schedule
from janusflow.training.stages import StageConfig


class JanusFlowModule(L.LightningModule):
    """Trains a :class:`JanusFlow` through one stage at a time; :meth:`enter` sets the stage."""

    def __init__(self, model: JanusFlow, codec: LatentCodec, optim: OptimConfig, seed: int) -> None:
        super().__init__()
        self.model = model
        self.ema = EMA(model, optim.ema_decay)
        self.codec = codec
        self.optim_config = optim
        self.seed = seed
        self.stage: StageConfig | None = None
        self.stage_number = 0

    def enter(self, stage: StageConfig, number: int) -> None:
        """Make ``stage``, the run's ``number``-th, the one that :meth:`configure_optimizers` reads."""
        self.stage, self.stage_number = stage, number

    def on_fit_start(self) -> None:
        self.codec.to(self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        generator = self.generator(batch.step)
        latents = batch.gen_latents if batch.gen_latents is not None else self.encode(batch.gen_pixels)
        losses = self.model(batch.rows, batch.labels, batch.und_pixels, batch.gen_pixels, latents, generator)
        self.log_dict({f"loss/{name}": value for name, value in losses._asdict().items()}, prog_bar=True)
        self.log("loss/total", losses.total, prog_bar=True)
        return losses.total

    def configure_optimizers(self) -> Any:
        assert self.stage is not None, "enter() a stage first"
        optimizer = build_optimizer(self.model, self.stage.lr, self.optim_config)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": build_schedule(optimizer, self.stage), "interval": "step"},
        }

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> None:
        """Clip the global norm here: Lightning's own clipping refuses fused optimizers under mixed precision."""
        trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.log("gradient_norm", torch.nn.utils.clip_grad_norm_(trained, self.optim_config.gradient_clip))

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.ema.update(self.model)

    def generator(self, step: int) -> torch.Generator:
        """The source of one step's times and noise: a function of the seed, stage, step and rank alone."""
        entropy = np.random.SeedSequence([self.seed, self.stage_number, step, self.global_rank])
        return torch.Generator(self.device).manual_seed(int(entropy.generate_state(1, np.uint64)[0]))

    def encode(self, pixels: Tensor) -> Tensor:
        """Latents (G, C, s, s) of pixels (G, 3, S, S), also where G is 0."""
        if len(pixels):
            return self.codec.encode(pixels)
        return torch.empty(0, *self.model.head.target_shape, device=self.device)
