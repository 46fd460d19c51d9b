"""The unified model: SigLIP, the LLM and a generation head in one sequence. Read this first.

Understanding:  [.. begin-of-image, N aligned SigLIP tokens, end-of-image, question, answer ..]
Generation:     [.. prompt, time token, N tokens of the noisy latent]  ->  velocity from the N hidden states, or
                [.. prompt, begin-of-image, N codes]  ->  each code from the hidden state in front of it

Legend: B rows, L positions, D hidden size, U understanding images, G generated images, N tokens of an image,
C latent channels, s latent side, S image side.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from janusflow.losses import answer_cross_entropy
from janusflow.models.ar_head import ARHead, ARHeadConfig
from janusflow.models.flow_head import FlowHead, FlowHeadConfig
from janusflow.models.head import GenerationHead
from janusflow.models.llm import LanguageModel, LLMConfig
from janusflow.models.vision import VisionConfig, VisionEncoder
from janusflow.repa import Projector, RepaConfig, alignment_loss


@dataclass
class ModelConfig:
    """Sizes of every part. The defaults are JanusFlow-1.3B."""

    llm: LLMConfig = field(default_factory=LLMConfig)
    vision: VisionConfig = field(default_factory=VisionConfig)
    head: Literal["flow", "ar"] = "flow"  # how images are drawn: rectified flow (JanusFlow), or code by code (Janus)
    flow_head: FlowHeadConfig = field(default_factory=FlowHeadConfig)  # used where head is flow …
    ar_head: ARHeadConfig = field(default_factory=ARHeadConfig)  # … and where it is ar
    repa: RepaConfig = field(default_factory=RepaConfig)
    # What understanding sees with: SigLIP; or latents through an encoder like the generation head's ("separate") or
    # that one itself ("shared"). ConvNeXt blocks over the VAE's latents are Experiments C and B of JanusFlow's Table 5;
    # the codes' embedding over the VQ tokenizer's codes, shared, is Experiment A of Janus's Table 5 (Chameleon).
    und_encoder: Literal["siglip", "separate", "shared"] = "siglip"
    z_loss: float = 0.0  # weight of log^2 Z in the answers' loss; 1e-5 is Chameleon's

    def __post_init__(self) -> None:
        if self.repa.enabled and self.repa.block > self.llm.num_layers:
            raise ValueError(f"repa.block {self.repa.block} is beyond the LLM's {self.llm.num_layers} blocks")
        grid = self.flow_head.grid if self.head == "flow" else self.ar_head.grid
        if self.has_siglip and grid != self.vision.grid:
            raise ValueError(
                f"the generation grid must equal SigLIP's: "
                f"{grid} x {grid} tokens against {self.vision.grid} x {self.vision.grid}"
            )

    @property
    def sees_latents(self) -> bool:
        """Whether understanding takes latents instead of pixels."""
        return self.und_encoder != "siglip"

    @property
    def has_siglip(self) -> bool:
        """Whether the model holds a SigLIP tower: to see with, or as REPA's target."""
        return self.repa.enabled or not self.sees_latents


def build_head(config: ModelConfig) -> GenerationHead:
    """The generation head that the configuration chooses."""
    if config.head == "flow":
        return FlowHead(config.flow_head, config.llm.hidden_size)
    return ARHead(config.ar_head, config.llm.hidden_size)


IGNORED = -100  # label of positions that nothing supervises
PADDING = -1  # segment number of positions that hold no sample


class Rows(NamedTuple):
    """Packed token rows as the model reads them: several samples in a row, which never see each other.

    The image slots name positions in the flattened (B * L) rows, image after image.
    """

    ids: Tensor  # (B, L) token ids; what stands at an image slot is replaced
    positions: Tensor  # (B, L) rotary positions; a dropped prompt leaves a gap
    segments: Tensor  # (B, L) number of the sample at each position
    und_slots: Tensor  # (U, 1 + N) begin-of-understanding position and image positions
    gen_slots: Tensor  # (G, 1 + N) begin position (where the time token goes) and image positions

    def lengths(self) -> Tensor:
        """Positions of each sample, (samples,)."""
        return self.segments[self.segments != PADDING].bincount()


class Counts(NamedTuple):
    """What the losses of a step are means over, on all ranks and micro-batches: scalars."""

    tokens: Tensor  # supervised tokens
    images: Tensor  # generated images

    @classmethod
    def of(cls, labels: Tensor, latents: Tensor) -> Counts:
        """Those of a batch that is the whole step."""
        return cls((labels != IGNORED).sum(), torch.tensor(len(latents), device=labels.device))


class Losses(NamedTuple):
    """The three terms of JanusFlow, Sec. 3.4, each a scalar in fp32, and their sum at 1 : 1 : 1."""

    ar: Tensor  # cross-entropy of answers and text (Eq. 6)
    image: Tensor  # the generation head's: of velocities, or the codes' cross-entropy
    repa: Tensor

    @property
    def total(self) -> Tensor:
        return self.ar + self.image + self.repa


class UnifiedModel(nn.Module):
    """One language model that understands images autoregressively and draws them by rectified flow or code by code."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.llm = LanguageModel(config.llm)
        self.head = build_head(config)
        feature_size = self.head.feature_size if config.sees_latents else config.vision.width
        self.vision = VisionEncoder(config.vision, config.llm.hidden_size, feature_size, config.has_siglip)
        # "separate": the same architecture and initial values as the generation encoder, trained apart.
        self.latent_encoder = copy.deepcopy(self.head.encoder) if config.und_encoder == "separate" else None
        self.projector: Projector | None = None
        if config.repa.enabled:
            self.projector = Projector(config.llm.hidden_size, config.repa.hidden_size, config.vision.width)

    def embed_understanding(self, images: Tensor) -> Tensor:
        """Images to what fills the last of their slots, (U, 1 + N, D), or (U, N, D) behind a token's own embedding.

        images: (U, 3, S, S) pixels in [-1, 1], or latents (U, …) where the configuration ``sees_latents``.
        """
        if not self.config.sees_latents:
            return self.vision.span(self.vision.features(images))
        encoder = self.head.encoder if self.latent_encoder is None else self.latent_encoder
        return self.vision.span(self.head.features(images, encoder))

    def embed_rows(self, rows: Rows, und: Tensor, gen: Tensor) -> Tensor:
        """Embeddings (B, L, D) of the rows, with ``und`` (U, n, D) and ``gen`` (G, m, D) in the last slots."""
        embeds = self.llm.embed(rows.ids)
        flat = embeds.flatten(0, 1)
        slots = torch.cat([rows.und_slots[:, -und.shape[1] :].flatten(), rows.gen_slots[:, -gen.shape[1] :].flatten()])
        values = torch.cat([und.flatten(0, 1), gen.flatten(0, 1)]).to(flat.dtype)
        return flat.index_copy(0, slots, values).view_as(embeds)

    def forward(
        self,
        rows: Rows,
        labels: Tensor,
        und_images: Tensor,
        gen_pixels: Tensor,
        latents: Tensor,
        seeds: Tensor,
        counts: Counts | None = None,
    ) -> Losses:
        """The three losses of one batch. Every part runs, also where it has nothing to do: ranks stay in step.

        labels: (B, L) next-token targets at the position that predicts them, -100 elsewhere.
        und_images: as :meth:`embed_understanding` takes them.
        gen_pixels: (G, 3, S, S) in [-1, 1], the clean images for REPA.
        latents: (G, …), the clean latents as the head takes them. seeds: (G,), of times and noise.
        counts: what the losses are means over, where this batch is one part of a step; default: the batch itself.
        """
        counts = counts or Counts.of(labels, latents)
        gen_embeds, state = self.head.prepare(latents, seeds)
        embeds = self.embed_rows(rows, self.embed_understanding(und_images), gen_embeds)
        tap = self.config.repa.block if self.projector is not None else None
        output = self.llm(embeds, rows.positions, tap=tap, segments=rows.segments)

        flat = output.hidden.flatten(0, 1)
        supervised = labels.flatten() != IGNORED  # gather before the head: most positions have no label
        logits, targets = self.llm.logits(flat[supervised]), labels.flatten()[supervised]
        ar = answer_cross_entropy(logits, targets, counts.tokens, self.config.z_loss)
        image = self.head.loss(flat[rows.gen_slots], state, counts.images)
        repa = torch.zeros_like(ar)
        if self.projector is not None:
            assert output.tapped is not None
            with torch.no_grad():
                target = self.vision.features(gen_pixels)
            projected = self.projector(output.tapped.flatten(0, 1)[rows.gen_slots[:, 1:]])
            repa = alignment_loss(projected, target, counts.images)
        return Losses(ar, image, repa)
