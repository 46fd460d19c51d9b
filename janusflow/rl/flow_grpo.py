"""Flow-GRPO (Liu et al. 2025, arXiv:2505.05470): the flow's ODE as an SDE of the same marginals, whose steps have
probabilities.

With our time (noise at 0), sigma_t = a sqrt((1 - t) / t) and the score -(z - t v) / (1 - t), a step from t to t + D is

    z' = z + [v - a^2 / (2 t) (z - t v)] D + a sqrt((1 - t) / t D) xi,        at the first step t = D,

a Gaussian around what the weights say. Each step of an image's path is a thing to train on.

Legend: G images, K steps, C latent channels, S latent side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor

from janusflow.guidance import guide
from janusflow.losses import LossConfig
from janusflow.models.head import Span
from janusflow.options import FlowSampling, SamplingOptions
from janusflow.rl.grpo import check_clip, clipped, halved, note_ratio
from janusflow.rl.policy import PolicyLoss, check_no_worse
from janusflow.samplers import Velocity, time_grid

if TYPE_CHECKING:
    from janusflow.models.unified import Forward, ModelConfig, UnifiedModel

STREAM = 0x5DE  # apart from the noise that a drawing starts from


@dataclass
class FlowGRPOConfig(LossConfig):
    """The loss; in the place of the flow's own (``losses.image.weight=0``)."""

    kind: str = "flow_grpo"
    noise: float = 0.7  # a: how much noise the steps add
    clip: float = 1e-3  # of ratios whose logarithm is the mean over a latent's elements, and so close to 0
    kl: float = 0.01  # weight of the divergence from the model that the run began with

    def __post_init__(self) -> None:
        super().__post_init__()
        check_clip(self.kind, self.clip, self.kl)
        if self.noise <= 0:
            raise ValueError(f"flow_grpo.noise must be above 0, got {self.noise}")

    @property
    def needs_reference(self) -> bool:
        return self.kl > 0


class SDEStep(NamedTuple):
    """A Gaussian: mean, shaped as the latents, and standard deviation, which broadcasts to them."""

    mean: Tensor
    std: Tensor


def sde_step(v: Tensor, z: Tensor, t: Tensor, length: Tensor, noise: float) -> SDEStep:
    """The step of ``length`` from z at t with the velocity v there; times broadcast to z."""
    at = torch.where(t > 0, t, length)
    mean = z + (v - noise**2 / (2 * at) * (z - at * v)) * length
    return SDEStep(mean, noise * ((1 - at) / at * length).sqrt())


def sde_path(velocity: Velocity, z: Tensor, times: Tensor, noise: float, generators: list[torch.Generator]) -> Tensor:
    """The path (G, K + 1, …) of latents z (G, …) from the first of ``times`` (K + 1,) to the last.

    The noise of image i comes from ``generators[i]``.
    """
    path = [z]
    for t, until in pairwise(times):
        step = sde_step(velocity(z, t).float(), z, t, until - t, noise)
        drawn = torch.stack([torch.randn(z.shape[1:], generator=generator) for generator in generators])
        z = step.mean + step.std * drawn.to(z.device)
        path.append(z)
    return torch.stack(path, 1)


def log_density(found: Tensor, step: SDEStep) -> Tensor:
    """The logarithm of a step's density at ``found`` (G, …), up to what weights do not change: (G,), the mean over a
    latent's elements, as the public recipe has it."""
    return -((found - step.mean) / step.std).square().flatten(1).mean(1) / 2


class FlowGRPOLoss(PolicyLoss):
    """-min(ratio A, clip(ratio) A) + kl |mean - mean_ref|^2 / (2 std^2), step by step."""

    Config = FlowGRPOConfig
    flow = True

    def __init__(self, config: FlowGRPOConfig, model: ModelConfig) -> None:
        super().__init__(config, model)
        self.config = config

    def check_sampling(self, options: FlowSampling) -> None:
        if options.guidance_form != "plain" or options.guidance_interval != (0.0, 1.0):
            raise ValueError(f"flow_grpo draws with plain guidance, at all times, got {options.describe()}")
        check_no_worse(self.config.kind, options)
        if options.sampler != "euler":
            raise ValueError(f"flow_grpo draws by its SDE's own steps: sampler must be euler, got {options.sampler}")
        if options.steps < 2:
            raise ValueError(f"flow_grpo needs at least 2 steps, got {options.steps}")

    def halves(self, options: SamplingOptions) -> int:
        return 1 if options.guidance == 1 else 2

    def items(self, options: FlowSampling) -> int:
        return options.steps

    def draw(self, head: Any, span: Span, seeds: list[int], options: Any) -> tuple[Tensor, dict[str, Tensor]]:
        start = head.start(seeds, span.begin.device)
        times = time_grid(options.steps, options.shift).to(start.device)
        generators = [torch.Generator().manual_seed(seed ^ STREAM) for seed in seeds]
        velocity = head.guided(span, options)
        noted: list[Tensor] = []

        def watched(z: Tensor, t: Tensor) -> Tensor:
            noted.append(velocity(z, t).float())
            return noted[-1]

        path = sde_path(watched, start, times, self.config.noise, generators)
        log_probs = [
            log_density(path[:, k + 1], sde_step(v, path[:, k], times[k], times[k + 1] - times[k], self.config.noise))
            for k, v in enumerate(noted)
        ]
        every = times.expand(len(start), -1)
        return path[:, -1], {"path": path, "times": every.contiguous(), "log_prob": torch.stack(log_probs, 1)}

    def item(self, values: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
        path, times = values["path"], values["times"]
        return {
            "z": path[number],
            "next": path[number + 1],
            "t": times[number],
            "length": times[number + 1] - times[number],
            "log_prob": values["log_prob"][number],
        }

    def forward(self, run: Forward) -> Tensor:
        drawn, head = run.aside.drawn, cast(Any, run.model.head)
        said = head.decode(run.spans(run.hidden), run.state.features).float()
        if drawn is None:
            return 0.0 * said.sum()
        values = {name: halved(value, self.halves(drawn.options)) for name, value in drawn.values.items()}
        step = self.step(said, values, drawn.options)
        log_ratio = log_density(values["next"], step) - values["log_prob"]
        loss, ratio = clipped(log_ratio.unsqueeze(1), values["advantage"].unsqueeze(1), self.config.clip)
        total = self.mean(run, loss)
        note_ratio(self, run, ratio, self.config.clip)
        if self.config.kl:
            with torch.no_grad():
                reference = self.step(self.other(run), values, drawn.options)
            apart = ((step.mean - reference.mean) / step.std).square() / 2
            divergence = self.mean(run, apart)
            run.notes["kl"] = divergence.detach()
            total = total + self.config.kl * divergence
        return total

    def step(self, said: Tensor, values: Mapping[str, Tensor], options: FlowSampling) -> SDEStep:
        """The Gaussian of the step that velocities of all halves mean, (R, C, S, S)."""
        v = said
        if self.halves(options) == 2:
            conditional, unconditional = said.chunk(2)
            v = guide(conditional, unconditional, options.guidance)
        t, length = (values[name].view(-1, 1, 1, 1) for name in ("t", "length"))
        return sde_step(v, values["z"], t, length, self.config.noise)

    def other(self, run: Forward) -> Tensor:
        """The velocity of the model that the run began with, in fp32."""
        reference: UnifiedModel | None = run.aside.reference
        assert reference is not None and run.aside.drawn is not None
        head: Any = reference.head
        embeds, features = head.encode(run.aside.drawn.values["z"], run.aside.drawn.values["t"])
        hidden = reference.run_llm(reference.embed_rows(run.rows, run.und, embeds), run.rows).hidden
        return head.decode(run.spans(hidden), features).float()
