"""The continuous generation head: rectified flow in latent space.

[.. prompt, time token, N tokens of the noisy latent]: the velocity comes from the hidden states behind them.

Latents are maps of any height and width that the patch divides; a square of ``latent_size`` by default.

Legend: G images, C latent channels, S latent side, N image tokens, D LLM hidden size.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from janusflow.flow import TimeConfig, interpolate, sample_time_pairs, sample_times, shift_times, velocity_loss
from janusflow.guidance import guided_velocity
from janusflow.models.head import Again, GenerationHead, Glimpse, HeadConfig, Span, Worse
from janusflow.models.norm import RMSNorm
from janusflow.models.shapes import Grid
from janusflow.models.sizes import check_positive, check_whole
from janusflow.models.uvit import GenerationDecoder, GenerationEncoder, GenerationFeatures, IntervalEmbedding
from janusflow.options import FlowSampling
from janusflow.samplers import OnStep, Velocity, integrate, time_grid


@dataclass
class FlowHeadConfig(HeadConfig):
    """Sizes of the generation encoder and decoder. The defaults are JanusFlow-1.3B's."""

    kind: str = "flow"
    latent_channels: int = 4
    latent_size: int = 48  # side of the latent: image size over the VAE's factor
    # What a VAE's latents come to unit variance by: its own factors; or (normalized) the stored statistics of each
    # channel that stand beside its weights (janusflow measure-codec).
    latents: Literal["scaled", "normalized"] = "scaled"
    patch_size: int = 2  # latent positions per token, along a side
    width: int = 768  # channels of the encoder; the decoder's blocks have twice as many
    encoder_blocks: int = 2
    decoder_blocks: int = 2
    rms_norm_eps: float = 1e-6  # of the norm in front of the decoder's aligner
    time: TimeConfig | None = None  # P(t) of training; None: as the checkpoint has it, and a new head as the paper
    attention: Literal["causal", "full"] = "causal"  # among the positions of an image; the paper: causal
    guided: bool = False  # has learnt a teacher's guidance and draws without any
    average: bool = False  # tells average velocities to a second time (MeanFlow), which it takes beside the first

    def __post_init__(self) -> None:
        check_whole(self, "head", "latent_channels", "latent_size", "patch_size", "width")
        check_whole(self, "head", "encoder_blocks", "decoder_blocks", least=0)
        check_positive(self, "head", "rms_norm_eps")
        if self.latent_size % self.patch_size:
            raise ValueError(f"latent_size {self.latent_size} is not a multiple of patch_size {self.patch_size}")
        if self.width % 2:
            raise ValueError(f"flow head width {self.width} must be even for the sinusoidal time embedding")

    def over(self, found: Any) -> HeadConfig:
        more = {"average": self.average or found.average, "guided": self.guided or found.guided}
        times = {} if self.time is None else {"time": self.time}
        return dataclasses.replace(found, **more, **times)

    def check_options(self, options: FlowSampling) -> None:
        if options.sampler == "meanflow" and not self.average:
            raise ValueError("the sampler meanflow is for models that tell average velocities, and this one does not")
        for name, weight in (("guidance", options.guidance), ("image_guidance", options.image_guidance)):
            if self.guided and weight not in (None, 1):
                raise ValueError(f"this model has learnt its teacher's guidance: {name} must be 1, got {weight:g}")

    @property
    def grid(self) -> int:
        """Tokens along one side of the image."""
        return self.latent_size // self.patch_size


class FlowState(NamedTuple):
    """What the loss needs again after the LLM: the encoder's features, the clean latent and the noise; and the times
    (G,) from and to which the velocity is meant, which are the same but where a loss is over average velocities."""

    features: GenerationFeatures
    x: Tensor
    z_0: Tensor
    t: Tensor
    r: Tensor


class FlowHead(GenerationHead):
    """g_enc, g_dec and their aligners."""

    Config = FlowHeadConfig
    Options = FlowSampling
    family = "a flow head"
    loss_name = "flow"
    dropped = "gap"
    shows_latents = True
    latent_dtype = torch.float32
    any_shape = True
    encoder: GenerationEncoder
    config: FlowHeadConfig

    def __init__(self, config: FlowHeadConfig, llm_size: int) -> None:
        super().__init__()
        self.config = config
        self.time = config.time or TimeConfig()
        self.sees_all = config.attention == "full"
        sizes = (config.latent_channels, config.width, config.patch_size)
        self.encoder = GenerationEncoder(*sizes, config.encoder_blocks, time_size=llm_size)
        self.encoder_aligner = nn.Linear(config.width, llm_size)
        self.decoder_norm = RMSNorm(llm_size, eps=config.rms_norm_eps)
        self.decoder_aligner = nn.Linear(llm_size, config.width)
        self.decoder = GenerationDecoder(*sizes, config.decoder_blocks, time_size=llm_size)
        self.interval_embed = IntervalEmbedding(config.width, llm_size) if config.average else None

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, S, S)."""
        return self.config.latent_channels, self.config.latent_size, self.config.latent_size

    def latent_shape_of(self, grid: Grid) -> tuple[int, int, int]:
        rows, columns = (self.config.patch_size * count for count in grid)
        return self.config.latent_channels, rows, columns

    @property
    def codec_size(self) -> int:
        """C."""
        return self.config.latent_channels

    @property
    def feature_size(self) -> int:
        """Channels of g_enc."""
        return self.config.width

    def features(self, latents: Tensor, encoder: nn.Module) -> Tensor:
        """Features (G, N, C) of clean latents (G, C, S, S), from g_enc at t = 1."""
        clean = torch.ones(len(latents), device=latents.device)
        encoded = encoder(latents.to(self.encoder.in_conv.weight.dtype), clean)
        return rearrange(encoded.map, "g c h w -> g (h w) c")

    def encode(self, z_t: Tensor, t: Tensor, r: Tensor | None = None) -> tuple[Tensor, GenerationFeatures]:
        """The span for a noisy latent (G, C, S, S) at times (G,): embeddings (G, 1 + N, D), time embedding first.

        r: (G,), of average velocities the times to which they are meant (default: t, the velocity itself).
        """
        channels, patch = self.config.latent_channels, self.config.patch_size
        if z_t.dim() != 4 or z_t.shape[1] != channels or z_t.shape[2] % patch or z_t.shape[3] % patch:
            raise ValueError(
                f"the flow head takes latents (G, {channels}, H, W) with sides that {patch} divides, got "
                f"{tuple(z_t.shape)}"
            )
        features = self.encoder(z_t.to(self.encoder.in_conv.weight.dtype), t)
        if self.interval_embed is not None:
            interval = torch.zeros_like(t) if r is None else r - t
            features = features._replace(time=features.time + self.interval_embed(interval).to(features.time.dtype))
        tokens = self.encoder_aligner(rearrange(features.map, "g c h w -> g (h w) c"))
        return torch.cat([features.time.unsqueeze(1), tokens], dim=1), features

    def show(self, latents: Tensor) -> Tensor:
        """The span of clean latents (G, C, S, S), at t = 1: (G, 1 + N, D)."""
        return self.encode(latents, torch.ones(len(latents), device=latents.device))[0]

    def decode(self, hidden: Tensor, features: GenerationFeatures) -> Tensor:
        """The velocity (G, C, S, S) from the LLM's hidden states of the span (G, 1 + N, D)."""
        tokens = self.decoder_aligner(self.decoder_norm(hidden[:, 1:]))
        grid = rearrange(tokens, "g (h w) c -> g c h w", h=features.map.shape[2], w=features.map.shape[3])
        return self.decoder(grid, *features)

    def prepare(
        self, latents: Tensor, seeds: Tensor, fixed: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, FlowState]:
        """Noise clean latents (G, C, S, S) for training: span embeddings (G, 1 + N, D) and what ``loss`` needs.

        Time and noise of a latent come from its own seed, (G,) integers, wherever and beside whatever it is trained;
        the noise from that in ``fixed["noise"]`` (G,) where it is not -1: the latent is what a teacher made of it.
        Or ``fixed`` has both as they were on a path: the noisy latent ``z`` at the time ``t`` (G,).
        """
        x, fixed = latents, fixed or {}
        if "z" in fixed:
            z, t = fixed["z"], fixed["t"]
            embeds, features = self.encode(z, t)
            return embeds, FlowState(features, x, z, t, t)
        noise = fixed.get("noise")
        generators = [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]
        t, r = (times.to(x.device) for times in self._times(generators))
        if self.time.by_tokens:
            t, r = (shift_times(times, self._growth(x)) for times in (t, r))
        z_0 = torch.stack([torch.randn(x.shape[1:], generator=g) for g in generators]) if generators else x.cpu()
        begun = [] if noise is None else [number for number, seed in enumerate(noise.tolist()) if seed >= 0]
        if noise is not None and begun:
            z_0[begun] = self.start(noise[begun].tolist(), z_0.device)
        z_0 = z_0.to(x.device)
        embeds, features = self.encode(interpolate(x, z_0, t), t, r)
        return embeds, FlowState(features, x, z_0, t, r)

    def _times(self, generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """From and to which times, (G,) each."""
        none = torch.empty(0)
        if not self.two_times:
            t = torch.cat([none, *(sample_times(1, self.time, g) for g in generators)])
            return t, t
        pairs = [sample_time_pairs(1, self.time, g) for g in generators]
        return torch.cat([none, *(t for t, _ in pairs)]), torch.cat([none, *(r for _, r in pairs)])

    def loss(self, hidden: Tensor, state: FlowState, total: Tensor | None = None, again: Again | None = None) -> Tensor:
        """The rectified-flow loss (Eq. 7) from the span's hidden states (G, 1 + N, D), over ``total`` images."""
        return velocity_loss(self.decode(hidden, state.features), state.x, state.z_0, total)

    def _growth(self, latents: Tensor) -> float:
        """sqrt(N / N_square) of latents (G, C, H, W)."""
        return math.sqrt(latents[0, 0].numel() if len(latents) else 0) / self.config.latent_size

    def shift(self, options: FlowSampling, latents: Tensor) -> float:
        """The time shift of drawing latents of this shape."""
        return options.shift * (self._growth(latents) if options.shift_scale == "tokens" else 1)

    def start(self, seeds: list[int], device: torch.device, grid: Grid | None = None) -> Tensor:
        """z_0 (G, C, S, S) in fp32. Image i depends on ``seeds[i]`` alone, and not on the device."""
        shape = self.latent_shape if grid is None else self.latent_shape_of(grid)
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(noise).to(device)

    def sample(
        self,
        span: Span,
        start: Tensor,
        options: FlowSampling,
        on_step: OnStep | None = None,
        worse: Worse | None = None,
    ) -> Tensor:
        """Solve the guided ODE from ``start``, z_0 (G, C, S, S); returns the clean latents in fp32.

        Every evaluation of the velocity runs the whole span, (R, 1 + N, D).
        """
        guided = self.guided(span, options, worse, self.image_weight(span, start, options))
        return integrate(guided, start, options.steps, options.sampler, self.shift(options, start), on_step)

    def guided(
        self, span: Span, options: FlowSampling, worse: Worse | None = None, image_weight: float = 1.0
    ) -> Velocity:
        """The guided velocity behind the span, as the solvers take it; ``image_weight``: other than 1 where the span
        has three rows for an image."""
        conditional, parts = self.velocity(span), 2 if image_weight == 1 else 3

        def pair(z: Tensor, t: Tensor, *until: Tensor) -> tuple[Tensor, ...]:
            embeds, features = self.encode(z, *(time.expand(len(z)) for time in (t, *until)))  # the same for all parts
            hidden = span(embeds.repeat(parts, 1, 1))
            repeated = GenerationFeatures(features.map.repeat(parts, 1, 1, 1), features.time.repeat(parts, 1))
            return self.decode(hidden, repeated).chunk(parts)

        guidance = options.guidance, options.guidance_interval, options.guidance_form
        if worse is not None:
            second = worse.head.velocity(worse.span)
            return guided_velocity(conditional, lambda *at: (conditional(*at), second(*at)), *guidance)
        return guided_velocity(conditional, pair, *guidance, image_weight)

    def glimpse(self, before: Tensor, latents: Tensor, done: int, options: FlowSampling) -> Glimpse:
        """The predicted clean latents z + (1 - t) v, with the velocity v that the step from t went along: the solver's,
        guided, and of several evaluations their mean."""
        t, r = time_grid(options.steps, self.shift(options, latents))[done - 1 : done + 1].tolist()
        tokens = latents[0, 0].numel() // self.config.patch_size**2
        return Glimpse(before + (1 - t) * (latents - before) / (r - t), tokens, f"t = {t:.2f}")

    def velocity(self, span: Span) -> Velocity:
        """The velocity behind the span's first rows, as the solvers take it."""

        def told(z: Tensor, t: Tensor, *until: Tensor) -> Tensor:
            embeds, features = self.encode(z, *(time.expand(len(z)) for time in (t, *until)))
            return self.decode(span(embeds), features)

        return told

    def sample_bytes(self) -> int:
        """The decoder's ConvNeXt activations."""
        return 3 * 8 * self.config.width * self.num_tokens * 4
