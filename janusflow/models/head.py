"""What a generation head is to the rest of the model.

A head owns the image's span of the sequence: one begin position and N image positions. It says what goes into the
span and what the loss is (training), and how an image is sampled with the LLM behind the prompts (generation). The two
heads, :mod:`janusflow.models.flow_head` and :mod:`janusflow.models.ar_head`, stand behind the same methods.

Legend: G images, R rows (G, or 2 G with guidance), N image tokens, D LLM hidden size, n tokens of one pass.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from janusflow.progress import Progress

# What is left of a prompt that guidance drops: its first token, with the span where it would have been ("gap"); or the
# whole prompt with padding tokens, which are seen, between its first and its last ("pad").
DropForm = Literal["gap", "pad"]


class Span(Protocol):
    """The LLM behind a batch of prompts, as a head sees it while it samples."""

    @property
    def begin(self) -> Tensor:
        """(R, 1, D) text embeddings of the prompts' last tokens, at whose position the span begins."""
        ...

    def __call__(self, embeds: Tensor, at: int = 0) -> Tensor:
        """Hidden states (R, n, D) of embeddings (R, n, D) at positions ``at`` … of the span.

        They see the prompt, what stands earlier in the span from previous calls, and each other causally. Where R is
        smaller than the number of rows, the first rows are meant.
        """
        ...


class GenerationHead(nn.Module, ABC):
    """What both heads have."""

    dropped: DropForm
    options: type[Any]  # of sampling: a NamedTuple with defaults, ``check`` and ``describe``
    latent_dtype: torch.dtype
    loss_name: str  # in logs
    encoder: nn.Module  # latents to features, for models that understand with them too

    @property
    @abstractmethod
    def num_tokens(self) -> int:
        """N, the image positions of a span."""

    @property
    @abstractmethod
    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one image's latents."""

    @property
    @abstractmethod
    def feature_size(self) -> int:
        """Channels of :meth:`features`."""

    @abstractmethod
    def features(self, latents: Tensor, encoder: nn.Module) -> Tensor:
        """Clean latents (G, …) through ``encoder``, this head's or its copy: (G, N, C), for understanding."""

    @abstractmethod
    def prepare(self, latents: Tensor, seeds: Tensor) -> tuple[Tensor, Any]:
        """For training: embeddings of the span's last positions, (G, N or 1 + N, D), and what :meth:`loss` needs again.

        All that is random about an image comes from its own seed, (G,) integers.
        """

    @abstractmethod
    def loss(self, hidden: Tensor, state: Any, total: Tensor | None = None) -> Tensor:
        """The loss from the span's hidden states (G, 1 + N, D): the mean over ``total`` images (default: G)."""

    @abstractmethod
    def start(self, seeds: list[int], device: torch.device) -> Tensor:
        """What sampling starts from, image i's from ``seeds[i]`` alone, and equal on every device."""

    @abstractmethod
    def sample(self, span: Span, start: Tensor, options: Any, progress: Progress | None = None) -> Tensor:
        """Latents (G, …) of the images behind the prompts.

        Under guidance (w ≠ 1) the span has R = 2 G rows, the second half of them behind dropped prompts; else R = G.
        """
