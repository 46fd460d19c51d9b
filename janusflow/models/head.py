"""What a generation head is to the rest of the model.

A head owns the image's span of the sequence: one begin position and N image positions. It says what goes into the
span and what the loss is (training), and how an image is sampled with the LLM behind the prompts (generation). Another
head is one file: a :class:`GenerationHead` with its ``Config`` and ``Options``, chosen by ``model.head.kind``.

Legend: G images, R rows (G, 2 G with guidance, or 3 G with one of words and one of an image), N image tokens, D LLM
hidden size, n tokens of one pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from janusflow.config import Choice
from janusflow.models.shapes import Grid
from janusflow.options import SamplingOptions, with_options
from janusflow.registry import Registry
from janusflow.samplers import OnStep

HEADS: Registry[type[GenerationHead]] = Registry(
    "generation head",
    "janusflow.heads",
    {"flow": "janusflow.models.flow_head:FlowHead", "ar": "janusflow.models.ar_head:ARHead"},
)

# What is left of a prompt that guidance drops: its first token, with the span where it would have been ("gap"); or the
# whole prompt with padding tokens, which are seen, between its first and its last ("pad").
DropForm = Literal["gap", "pad"]
Again = Callable[[Tensor], Tensor]


@dataclass
class HeadConfig(Choice, ABC):
    """Sizes of a generation head."""

    registry = HEADS

    @property
    @abstractmethod
    def grid(self) -> int:
        """Tokens along one side of the image."""

    @property
    def head_class(self) -> type[GenerationHead]:
        """What is configured."""
        return HEADS.load(self.kind)

    def build(self, llm_size: int) -> GenerationHead:
        """The head, with new weights, for an LLM of that width."""
        return self.head_class(self, llm_size)

    def sampling(self, *layers: Mapping[str, Any] | None) -> Any:
        """The head's options of sampling: its defaults, and over them each layer that is given.

        Raises ``ValueError`` for an option of another head, or an impossible value.
        """
        options = with_options(self.head_class.Options, self.head_class.family, *layers)
        self.check_options(options)
        return options

    def over(self, found: Any) -> HeadConfig:
        """The sizes of a run that begins with a checkpoint's head ``found``: those, and what this one adds to them."""
        return found

    def check_options(self, options: Any) -> None:
        """Raise ``ValueError`` for options that go with such a head but not with this one's sizes."""


class Span(Protocol):
    """The LLM behind a batch of prompts, as a head sees it while it samples."""

    @property
    def begin(self) -> Tensor:
        """(R, 1, D) text embeddings of the prompts' last tokens, at whose position the span begins."""
        ...

    def __call__(self, embeds: Tensor, at: int = 0) -> Tensor:
        """Hidden states (R, n, D) of embeddings (R, n, D) at positions ``at`` … of the span.

        They see the prompt, what stands earlier in the span from previous calls, and each other causally (or fully,
        where the head says so). Where R is smaller than the number of rows, the first rows are meant.
        """
        ...


class Worse(NamedTuple):
    """A worse model, whose prediction takes the place of the dropped prompt's (autoguidance; Karras et al. 2024,
    arXiv:2406.02507): its head, and its LLM behind the same prompts, G rows."""

    head: Any
    span: Span


class Glimpse(NamedTuple):
    """A moment of sampling, for whoever watches."""

    latents: Tensor  # (G, …) of the clean images that are predicted by then
    drawn: int  # their first positions, in raster order, that are decided
    text: str  # when it is


class GenerationHead(nn.Module, ABC):
    """What all heads have: made as ``Head(config, llm_size)``."""

    Config: ClassVar[type[HeadConfig]]
    Options: ClassVar[type[SamplingOptions]]
    family: ClassVar[str]  # "a flow head": in errors and protocols
    loss_name: ClassVar[str]  # in logs
    dropped: ClassVar[DropForm]
    latent_dtype: ClassVar[torch.dtype]  # of what an image codec gives: floating point of a VAE, long of a VQ tokenizer
    shows_latents: ClassVar[bool] = False  # prompts can show the clean latents of an image (see show)
    sees_all: bool = False  # image positions see each other fully, not causally
    any_shape: ClassVar[bool] = False  # draws images of other grids than the square that its configuration names
    two_times: bool = False  # a loss of the model wants a second time of every image (see Loss)
    config: Any
    encoder: nn.Module  # latents to features, for models that understand with them too

    @property
    def num_tokens(self) -> int:
        """N, the image positions of a square image's span."""
        return self.config.grid**2

    @property
    @abstractmethod
    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one square image's latents."""

    def latent_shape_of(self, grid: Grid) -> tuple[int, ...]:
        """The shape of the latents of an image of so many tokens; of heads that draw ``any_shape``."""
        return self.latent_shape

    @property
    @abstractmethod
    def codec_size(self) -> int:
        """The channels of a VAE's latents, or the codes of a VQ tokenizer, that the head draws."""

    @property
    @abstractmethod
    def feature_size(self) -> int:
        """Channels of :meth:`features`."""

    @abstractmethod
    def features(self, latents: Tensor, encoder: nn.Module) -> Tensor:
        """Clean latents (G, …) through ``encoder``, this head's or its copy: (G, N, C), for understanding."""

    def show(self, latents: Tensor) -> Tensor:
        """What clean latents (G, …) are in a prompt that shows them: (G, 1 + N, D), for heads of which
        ``shows_latents``."""
        raise ValueError(f"{self.family} shows no latents")

    @abstractmethod
    def prepare(self, latents: Tensor, seeds: Tensor, fixed: Mapping[str, Tensor] | None = None) -> tuple[Tensor, Any]:
        """For training: embeddings of the span's last positions, (G, N or 1 + N, D), and what :meth:`loss` needs again.

        All that is random about an image comes from its own seed, (G,) integers; but for what is ``fixed``: ``noise``
        (G,), seeds of what sampling started from (:meth:`start`) where the latents are what it came to, else -1; and
        what a loss over drawn images remembered of them.
        """

    @abstractmethod
    def loss(self, hidden: Tensor, state: Any, total: Tensor | None = None, again: Again | None = None) -> Tensor:
        """The loss from the span's hidden states (G, 1 + N, D): the mean over ``total`` images (default: G).

        again: the LLM over the same rows with other embeddings in the spans, as :meth:`prepare` gives them: hidden
        states (G, 1 + N, D), for losses that need several passes or a derivative.
        """

    @abstractmethod
    def start(self, seeds: list[int], device: torch.device, grid: Grid | None = None) -> Tensor:
        """What sampling starts from, image i's from ``seeds[i]`` alone, and equal on every device.

        grid: of images that are no squares, which heads that draw ``any_shape`` are given; others need not take it.
        """

    @abstractmethod
    def sample(
        self, span: Span, start: Tensor, options: Any, on_step: OnStep | None = None, worse: Worse | None = None
    ) -> Tensor:
        """Latents (G, …) of the images behind the prompts.

        Under guidance (w ≠ 1) the span has R = 2 G rows, the second half of them behind dropped prompts; else, and
        where a ``worse`` model is asked instead, R = G. R = 3 G where images that the prompts show have a weight of
        their own: behind the prompts, behind them without their words, and behind dropped ones.
        """

    def shift(self, options: Any, latents: Tensor) -> float:
        """The time shift of drawing latents (G, …); 1 for heads that know no times."""
        return 1.0

    @staticmethod
    def image_weight(span: Span, start: Tensor, options: Any) -> float:
        """That of the images which prompts show; 1 where the span has no rows for a guidance of their own."""
        return options.image_guidance if len(span.begin) == 3 * len(start) else 1.0

    def glimpse(self, before: Tensor, latents: Tensor, done: int, options: Any) -> Glimpse:
        """What the images promise to become after step ``done``, from what ``on_step`` got then and the time before (at
        the first step what :meth:`start` gave)."""
        return Glimpse(latents, self.num_tokens, f"step {done}")

    @abstractmethod
    def sample_bytes(self) -> int:
        """What sampling holds of the head itself for a row of the span, roughly; keys and values come on top."""

    def adopt(self, codebook: Tensor) -> None:
        """Begin with a VQ tokenizer's ``codebook`` (K, C), where the head embeds codes; others ignore it."""
