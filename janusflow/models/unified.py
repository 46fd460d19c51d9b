"""The unified model: SigLIP, the LLM and a generation head in one sequence. Read this first.

Understanding:  [.. begin-of-image, N aligned SigLIP tokens, end-of-image, question, answer ..]
Generation:     [.. prompt, time token, N tokens of the noisy latent]  ->  velocity from the N hidden states, or
                [.. prompt, begin-of-image, N codes]  ->  each code from the hidden state in front of it
Reconstruction: [.. begin-of-image, N aligned SigLIP tokens of the same image, end-of-image, request, as generation]
Editing:        [.. N aligned SigLIP tokens of a source, end-of-image, instruction, (time token of t = 1, N tokens of
                its clean latent), as generation]

Legend: B rows, L positions, D hidden size, U understanding images, G generated images, K sources, N tokens of an image,
C latent channels, s latent side, S image side.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from janusflow.losses import IGNORED, LOSSES, Loss, LossConfig, loss_module
from janusflow.models.head import HEADS, HeadConfig
from janusflow.models.llm import LanguageModel, LLMConfig, LLMOutput
from janusflow.models.shapes import Grid, token_side
from janusflow.models.spans import span_offsets
from janusflow.models.vision import VisionConfig, VisionEncoder

PADDING = -1  # segment number of positions that hold no sample


def paper_losses() -> dict[str, LossConfig]:
    """The three terms of JanusFlow, Sec. 3.4, at 1 : 1 : 1."""
    return {name: LOSSES.load(name).Config(kind=name) for name in ("ar", "image", "repa")}


@dataclass
class ModelConfig:
    """Sizes of every part. The defaults are JanusFlow-1.3B."""

    llm: LLMConfig = field(default_factory=LLMConfig)
    vision: VisionConfig = field(default_factory=VisionConfig)
    # How images are drawn: by rectified flow (kind flow, JanusFlow), or code by code (ar, Janus); with its sizes.
    head: HeadConfig = field(default_factory=lambda: HEADS.load("flow").Config())
    losses: dict[str, LossConfig] = field(default_factory=paper_losses)  # by name; a weight of 0 leaves one out
    # What understanding sees with: SigLIP; or latents through an encoder like the generation head's ("separate") or
    # that one itself ("shared"). ConvNeXt blocks over the VAE's latents are Experiments C and B of JanusFlow's Table 5;
    # the codes' embedding over the VQ tokenizer's codes, shared, is Experiment A of Janus's Table 5 (Chameleon).
    und_encoder: Literal["siglip", "separate", "shared"] = "siglip"
    # Whether what the prompt of an image shows stands in it twice: as understanding sees it, and as its clean latents,
    # which the generation encoder encodes at t = 1. Takes no weights, and a flow head.
    source_latents: bool = False

    def __post_init__(self) -> None:
        if self.has_siglip and self.head.grid != self.vision.grid:
            raise ValueError(
                f"the generation grid must equal SigLIP's: {self.head.grid} x {self.head.grid} tokens against "
                f"{self.vision.grid} x {self.vision.grid}"
            )
        if self.source_latents and not self.head.head_class.shows_latents:
            raise ValueError(
                f"model.source_latents puts clean latents into prompts, which {self.head.head_class.family} does not "
                "show: leave it out"
            )
        for config in self.used_losses.values():
            LOSSES.load(config.kind).check(config, self)

    @property
    def used_losses(self) -> dict[str, LossConfig]:
        """The terms with a weight."""
        return {name: config for name, config in self.losses.items() if config.weight > 0}

    @property
    def sees_latents(self) -> bool:
        """Whether understanding takes latents instead of pixels."""
        return self.und_encoder != "siglip"

    @property
    def has_siglip(self) -> bool:
        """Whether the model holds a SigLIP tower: to see with, or as a loss's target."""
        asked = any(LOSSES.load(config.kind).needs_siglip for config in self.used_losses.values())
        return asked or not self.sees_latents

    @staticmethod
    def respell(values: dict[str, Any], below: dict[str, Any]) -> dict[str, Any]:
        """Earlier files and commands: ``head: flow`` with ``flow_head`` and ``ar_head``, ``repa``, ``z_loss``."""
        values = dict(values)
        if isinstance(values.get("head"), str):
            values["head"] = {"kind": values["head"]}
        sections = {kind: values.pop(f"{kind}_head") for kind in ("flow", "ar") if f"{kind}_head" in values}
        chosen = {**below.get("head", {}), **values.get("head", {})}.get("kind", next(iter(sections), None))
        if chosen in sections:
            values["head"] = {"kind": chosen, **sections[chosen], **values.get("head", {})}
        losses = dict(values.get("losses", {}))
        if "repa" in values:
            repa = dict(values.pop("repa"))
            weight = {"weight": float(repa.pop("enabled"))} if "enabled" in repa else {}
            losses["repa"] = {**weight, **repa, **losses.get("repa", {})}
        if "z_loss" in values:
            losses["ar"] = {"z_loss": values.pop("z_loss"), **losses.get("ar", {})}
        return {**values, "losses": losses} if losses else values


class Rows(NamedTuple):
    """Packed token rows as the model reads them: several samples in a row, which never see each other.

    The image slots name positions in the flattened (B * L) rows, image after image.
    """

    ids: Tensor  # (B, L) token ids; what stands at an image slot is replaced
    positions: Tensor  # (B, L) rotary positions, or (B, L, 2) rows and columns; a dropped prompt leaves a gap
    segments: Tensor  # (B, L) number of the sample at each position
    und_slots: Tensor  # (U, 1 + N) begin-of-understanding position and image positions
    gen_slots: Tensor  # (G, 1 + N) begin position (where the time token goes) and image positions
    source_slots: Tensor  # (K, 1 + N) likewise, of the clean latents that prompts show
    further: tuple[Tensor, ...] = ()  # likewise, of generated images of each further shape

    @property
    def drawn(self) -> tuple[Tensor, ...]:
        """The slots of generated images, a tensor a shape."""
        return (self.gen_slots, *self.further)

    def of_shape(self, number: int) -> Rows:
        """The same rows with the generated images of one shape alone."""
        return self._replace(gen_slots=self.drawn[number], further=())

    def without_prompts(self) -> Rows:
        """The same rows, in which generated images see nothing of their prompts but the first token, as where guidance
        drops them. Their samples are not in one piece."""
        flat = self.segments.flatten()
        span = torch.zeros_like(flat, dtype=torch.bool).index_fill(0, self.gen_slots.flatten(), True).view_as(self.ids)
        drawn = torch.isin(self.segments, flat[self.gen_slots[:, 0]])
        behind = (self.positions if self.positions.dim() == 2 else self.positions[..., 0]) > 0
        return self._replace(segments=torch.where(drawn & ~span & behind, -2 - self.segments, self.segments))

    def lengths(self) -> Tensor:
        """Positions of each sample, (samples,)."""
        return self.segments[self.segments != PADDING].bincount()


class Images(NamedTuple):
    """Generated images of one shape."""

    pixels: Tensor  # (G, 3, H, W) in [-1, 1]
    latents: Any  # (G, …), or None before they are encoded
    seeds: Tensor  # (G,) of what is random about each
    noise: Any = None  # (G,) seeds of the noise that they began as, -1 for any


class Counts(NamedTuple):
    """What the losses of a step are means over, on all ranks and micro-batches: scalars."""

    tokens: Tensor  # supervised tokens
    images: Tensor  # generated images

    @classmethod
    def of(cls, labels: Tensor, *latents: Tensor) -> Counts:
        """Those of a batch that is the whole step; ``latents`` of each shape."""
        return cls((labels != IGNORED).sum(), torch.tensor(sum(map(len, latents)), device=labels.device))


class Drawn(NamedTuple):
    """Images that the model drew itself, and what it is to learn of them (see ``janusflow.rl``)."""

    values: Mapping[str, Tensor]  # (G, …) each: "advantage", and what was remembered of how they came
    options: Any  # of the sampling


class Aside(NamedTuple):
    """What losses may ask beside the batch."""

    reference: UnifiedModel | None = None  # the model that the run began with
    old: UnifiedModel | None = None  # a slow copy of the weights, with which images were drawn
    progress: float = 0.0  # share of the stage that is done
    noise: Tensor | None = None  # (G,), seeds of the noise that images began as, -1 for any
    drawn: Drawn | None = None

    @property
    def fixed(self) -> dict[str, Tensor]:
        """What the head does not draw anew."""
        return ({} if self.noise is None else {"noise": self.noise}) | dict(self.drawn.values if self.drawn else {})


class Forward(NamedTuple):
    """A training pass, as losses see it: with the generated images of one shape."""

    model: UnifiedModel
    rows: Rows
    labels: Tensor  # (B, L) next-token targets at the position that predicts them, -100 elsewhere
    gen_pixels: Tensor  # (G, 3, S, S) in [-1, 1], the clean images
    und: Tensor  # what understanding put into its slots
    hidden: Tensor  # (B, L, D) after the LLM's final norm
    tapped: Mapping[int, Tensor]  # (B, L, D) after the blocks that the losses tap
    state: Any  # the head's, from prepare
    counts: Counts
    aside: Aside
    notes: dict[str, Tensor]  # what losses tell beside themselves, each this batch's share of the step's, for logs
    source: Tensor | None = None  # what sources put into theirs, where models show latents

    def spans(self, features: Tensor) -> Tensor:
        """The generated images' spans (G, 1 + N, D) of features (B, L, D)."""
        return features.flatten(0, 1)[self.rows.gen_slots]

    def again(self, gen: Tensor, whole: bool = True) -> Tensor:
        """Hidden states (G, 1 + N, D) of another pass, with ``gen`` (G, m, D) in the spans.

        whole: False has attention take a mask, on every device, as what differentiates forward needs.
        """
        embeds = self.model.embed_rows(self.rows, self.und, gen, source=self.source)
        return self.spans(self.model.run_llm(embeds, self.rows, whole=whole).hidden)


class UnifiedModel(nn.Module):
    """One language model that understands images autoregressively and draws them by rectified flow or code by code."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.llm = LanguageModel(config.llm)
        self.head = config.head.build(config.llm.hidden_size)
        feature_size = self.head.feature_size if config.sees_latents else config.vision.width
        self.vision = VisionEncoder(config.vision, config.llm.hidden_size, feature_size, config.has_siglip)
        # "separate": the same architecture and initial values as the generation encoder, trained apart.
        self.latent_encoder = copy.deepcopy(self.head.encoder) if config.und_encoder == "separate" else None
        self.loss_modules: dict[str, str] = {}  # a term's name in logs -> its module's
        self.weights: dict[str, float] = {}
        for name, loss in config.used_losses.items():
            module, logged = loss_module(name, loss), self.head.loss_name if name == "image" else name
            self.add_module(module, LOSSES.load(loss.kind)(loss, config))
            self.loss_modules[logged], self.weights[logged] = module, loss.weight
        self.head.two_times = any(loss.two_times for loss in self.losses.values())

    @property
    def losses(self) -> dict[str, Loss]:
        """The terms, by their names in logs."""
        return {name: self.get_submodule(module) for name, module in self.loss_modules.items()}  # type: ignore[misc]

    @property
    def training_only(self) -> tuple[str, ...]:
        """Prefixes of the parameters that are no part of a saved or released model."""
        prefixes = (*(f"{module}." for module in self.loss_modules.values()),)
        return (*prefixes, "vision.tower.") if self.config.sees_latents else prefixes

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of the terms."""
        return sum(weight * losses[name] for name, weight in self.weights.items())  # type: ignore[return-value]

    def embed_understanding(self, images: Tensor) -> Tensor:
        """Images to what fills the last of their slots, (U, 1 + N, D), or (U, N, D) behind a token's own embedding.

        images: (U, 3, S, S) pixels in [-1, 1], or latents (U, …) where the configuration ``sees_latents``.
        """
        if not self.config.sees_latents:
            return self.vision.span(self.vision.features(images))
        encoder = self.head.encoder if self.latent_encoder is None else self.latent_encoder
        return self.vision.span(self.head.features(images, encoder))

    def embed_rows(self, rows: Rows, und: Tensor, *gen: Tensor, source: Tensor | None = None) -> Tensor:
        """Embeddings (B, L, D) of the rows, with ``und`` (U, n, D), of each shape ``gen`` (G, m, D), and ``source``
        (K, 1 + N, D) in the last slots."""
        embeds = self.llm.embed(rows.ids)
        flat = embeds.flatten(0, 1)
        spans = [*zip((rows.und_slots, *rows.drawn), (und, *gen), strict=True)]
        spans += [] if source is None else [(rows.source_slots, source)]
        slots = torch.cat([slots[:, -span.shape[1] :].flatten() for slots, span in spans])
        values = torch.cat([span.flatten(0, 1) for _, span in spans]).to(flat.dtype)
        return flat.index_copy(0, slots, values).view_as(embeds)

    def grid_of(self, pixels: Tensor) -> Grid:
        """The tokens of images (B, 3, H, W)."""
        token = token_side(self.config)
        return Grid(pixels.shape[-2] // token, pixels.shape[-1] // token)

    def span_offsets(self, grid: Grid) -> Tensor:
        """Positions of a drawn image's span behind its first, (1 + N,) or (1 + N, 2)."""
        return span_offsets(self.config.llm.image_positions, grid, self.config.head.grid)

    def run_llm(self, embeds: Tensor, rows: Rows, taps: tuple[int, ...] = (), whole: bool = True) -> LLMOutput:
        """The LLM over packed rows, whose samples never see each other; ``whole``: each of them is in one piece."""
        groups = None if whole else torch.zeros_like(rows.ids)  # which asks for a mask
        if self.head.sees_all:
            groups, first = torch.zeros(rows.ids.numel(), dtype=torch.long, device=embeds.device), 1
            for slots in rows.drawn:
                numbers = torch.arange(first, first + len(slots), device=embeds.device)
                groups = groups.index_copy(0, slots.flatten(), numbers.repeat_interleave(slots.shape[1]))
                first += len(slots)
            groups = groups.view_as(rows.ids)
        return self.llm(embeds, rows.positions, taps=taps, segments=rows.segments, groups=groups)

    def forward(
        self,
        rows: Rows,
        labels: Tensor,
        und_images: Tensor,
        gen_pixels: Tensor,
        latents: Tensor,
        seeds: Tensor,
        counts: Counts | None = None,
        aside: Aside | None = None,
        sources: Tensor | None = None,
        further: Sequence[Images] = (),
    ) -> dict[str, Tensor]:
        """The losses of one batch by name, scalars in fp32, not weighted; and what they note, which has no weight.

        Every part runs, also where it has nothing to do: ranks stay in step.

        labels: (B, L) next-token targets at the position that predicts them, -100 elsewhere.
        und_images: as :meth:`embed_understanding` takes them.
        gen_pixels: (G, 3, S, S) in [-1, 1], the clean images for REPA.
        latents: (G, …), the clean latents as the head takes them. seeds: (G,), of times and noise.
        counts: what the losses are means over, where this batch is one part of a step; default: the batch itself.
        sources: (K, …), the clean latents that prompts show, of models with ``source_latents``.
        further: generated images of further shapes, in the order of ``rows.further``.
        """
        aside = aside or Aside()
        shapes = [Images(gen_pixels, latents, seeds, aside.noise), *further]
        asides = [aside._replace(noise=images.noise) for images in shapes]
        drawn = [self.head.prepare(one.latents, one.seeds, own.fixed) for one, own in zip(shapes, asides, strict=True)]
        und = self.embed_understanding(und_images)
        losses = self.losses
        taps = tuple(tap for loss in losses.values() for tap in loss.taps)
        source = None if sources is None else self.head.show(sources)
        output = self.run_llm(self.embed_rows(rows, und, *(gen for gen, _ in drawn), source=source), rows, taps)
        counts = counts or Counts.of(labels, *(images.latents for images in shapes))
        notes: dict[str, Tensor] = {}
        runs = []
        for number, (images, own, (_, state)) in enumerate(zip(shapes, asides, drawn, strict=True)):
            passed = (output.hidden, output.tapped, state, counts)
            runs.append(Forward(self, rows.of_shape(number), labels, images.pixels, und, *passed, own, notes, source))
        found = {name: [loss(run) for run in (runs if loss.of_images else runs[:1])] for name, loss in losses.items()}
        return {name: sum(parts[1:], parts[0]) for name, parts in found.items()} | notes
