"""The optimizer: AdamW as in JanusFlow Table 1."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from janusflow.training.stages import StageConfig, rate_factor


@dataclass
class OptimConfig:
    """AdamW and what surrounds it. The defaults are the paper's."""

    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 0.0
    gradient_clip: float = 1.0  # global norm
    ema_decay: float = 0.999  # of the weights' moving average; ramps up over the first steps


def build_optimizer(model: nn.Module, stage: StageConfig, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over the parameters that the stage trains."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        trained, lr=stage.lr, betas=(config.beta1, config.beta2), weight_decay=config.weight_decay, fused=True
    )


def build_schedule(optimizer: torch.optim.Optimizer, stage: StageConfig) -> torch.optim.lr_scheduler.LambdaLR:
    """The stage's rate as a function of the step."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(stage, step))
