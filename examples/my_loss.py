"""A loss of one's own, with a parameter that it trains: the hidden state in front of a picture is drawn to a point.

    python train.py configs/shapes.yaml name=point "model.losses.point={kind: 'my_loss:Point', weight: 0.1, block: 2}" \
        "stages.stage2.train=[llm, understanding, generation, repa, point]"

Weights of the other terms stay (``model.losses``); a weight of 0 leaves a term and its parameters out. The parameters
train in stages that name the term, and no exported model has them.
"""

from dataclasses import dataclass

import torch
from torch import nn

from janusflow.losses import Loss, LossConfig


@dataclass
class PointConfig(LossConfig):
    """Its keys in YAML, beside ``kind`` and ``weight``."""

    block: int = 1  # after which LLM block, counted from 1


class Point(Loss):
    """Squared distance of the begin position's features from a learned point."""

    Config = PointConfig

    def __init__(self, config, model):
        """``model``: the sizes of the whole model, before it is built."""
        super().__init__(config, model)
        self.taps = (config.block,)  # what the forward pass is to keep
        self.point = nn.Parameter(torch.ones(model.llm.hidden_size))

    @classmethod
    def check(cls, config, model):
        """What is impossible is said before anything is loaded."""
        if config.block > model.llm.num_layers:
            raise ValueError(f"block {config.block} is beyond the LLM's {model.llm.num_layers} blocks")

    def forward(self, run):
        """This batch's share of the mean over all images of the step, which other processes may hold."""
        spans = run.spans(run.tapped[self.taps[0]]).float()  # (G, 1 + N, D)
        return (spans[:, 0] - self.point).square().mean(-1).sum() / run.counts.images.clamp(min=1)
