"""The discrete generation head: an image as the codes of a VQ tokenizer, predicted one after the other (Janus).

[.. prompt, begin-of-image, code 1 .. code N]: code i is predicted from the position in front of it.

Legend: G images, R rows (G, 2 G with guidance, or 3 G with one of words and one of an image), N codes of an image, K
codes in the codebook, D LLM hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janusflow.decoding import check_finite, choose, log_prob
from janusflow.guidance import guide, guide_by_image
from janusflow.models.head import Again, GenerationHead, Glimpse, HeadConfig, Span, Worse
from janusflow.models.mlp import mlp
from janusflow.models.shapes import Grid
from janusflow.models.sizes import check_whole
from janusflow.options import CodeSampling
from janusflow.samplers import OnStep


@dataclass
class ARHeadConfig(HeadConfig):
    """Sizes of the embedding, its aligner and the image head. The defaults are those of Janus-1.3B."""

    kind: str = "ar"
    codebook_size: int = 16_384
    code_channels: int = 8
    grid: int = 24  # codes along one side of the image
    aligner_depth: int = 2  # linear layers from a code's embedding to the LLM
    head_width: int = 2048  # hidden size of the two layers that predict a code

    def __post_init__(self) -> None:
        check_whole(self, "head", "codebook_size", "code_channels", "grid", "aligner_depth", "head_width")

    def check_options(self, options: CodeSampling) -> None:
        if options.top_k is not None and options.top_k > self.codebook_size:
            raise ValueError(f"top_k {options.top_k} is more than the codebook's {self.codebook_size} codes")


class ARHead(GenerationHead):
    """Embedding and aligner of the codes, and the layers that predict them."""

    Config = ARHeadConfig
    Options = CodeSampling
    family = "an autoregressive head"
    loss_name = "codes"
    dropped = "pad"
    latent_dtype = torch.long
    any_shape = True  # codes in raster order, however many
    config: ARHeadConfig
    encoder: nn.Embedding

    def __init__(self, config: ARHeadConfig, llm_size: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = nn.Embedding(config.codebook_size, config.code_channels)
        self.aligner = mlp(config.code_channels, llm_size, config.aligner_depth)
        self.hidden = nn.Linear(llm_size, config.head_width)
        self.classifier = nn.Linear(config.head_width, config.codebook_size)

    @property
    def latent_shape(self) -> tuple[int]:
        """(N,)."""
        return (self.num_tokens,)

    def latent_shape_of(self, grid: Grid) -> tuple[int]:
        return (grid.tokens,)

    @property
    def codec_size(self) -> int:
        """K."""
        return self.config.codebook_size

    @property
    def feature_size(self) -> int:
        """Channels of a code's embedding."""
        return self.config.code_channels

    def features(self, latents: Tensor, encoder: nn.Module) -> Tensor:
        """Embeddings (G, N, C) of codes (G, N), before the aligner."""
        return encoder(latents)

    def embed(self, codes: Tensor) -> Tensor:
        """What stands for codes (G, n) in the LLM's sequence: (G, n, D)."""
        return self.aligner(self.encoder(codes))

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits (…, K) of the code that follows each hidden state (…, D)."""
        return self.classifier(F.gelu(self.hidden(hidden)))

    def prepare(
        self, latents: Tensor, seeds: Tensor, fixed: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Embeddings (G, N, D) of the codes (G, N), and the codes, which are the loss's targets. Draws nothing."""
        if latents.dim() != 2:
            raise ValueError(f"the autoregressive head takes codes (G, N), got {tuple(latents.shape)}")
        return self.embed(latents), latents

    def loss(self, hidden: Tensor, state: Tensor, total: Tensor | None = None, again: Again | None = None) -> Tensor:
        """Cross-entropy of the codes, in fp32, from the span's hidden states (G, 1 + N, D).

        The mean over the codes of an image, then over ``total`` images (default: G).
        """
        logits = self.logits(hidden[:, :-1]).float()
        loss = F.cross_entropy(logits.flatten(0, 1), state.flatten(), reduction="sum") / state.shape[1]
        return loss / (max(len(state), 1) if total is None else total.clamp(min=1))

    def start(self, seeds: list[int], device: torch.device, grid: Grid | None = None) -> Tensor:
        """The uniform numbers (G, N) that the draws are a function of."""
        count = self.num_tokens if grid is None else grid.tokens
        numbers = [torch.rand(count, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(numbers).to(device)

    def sample(
        self,
        span: Span,
        start: Tensor,
        options: CodeSampling,
        on_step: OnStep | None = None,
        worse: Worse | None = None,
        log_probs: list[Tensor] | None = None,
    ) -> Tensor:
        """Draw codes (G, N), one after the other, with the numbers ``start`` (G, N).

        log_probs: takes the logarithm of each drawn code's probability (G,), of all codes at that temperature.

        Guidance is on the logits, l = l_u + w (l_c - l_u). They are linear in the features in front of the last layer
        and the weights sum to 1, so the features are guided instead and the codebook's layer runs once.
        Raises ``ValueError`` where logits are not finite.
        """
        image_weight = self.image_weight(span, start, options)
        rows = len(start) * (3 if image_weight != 1 else 1 if options.guidance == 1 or worse else 2)
        hidden = span(span.begin[:rows])
        other = worse.span(worse.span.begin[:rows]) if worse else hidden
        codes = torch.empty(start.shape, dtype=torch.long, device=start.device)
        finite = torch.ones((), dtype=torch.bool, device=start.device)  # looked at once: no step waits for it
        for number, uniforms in enumerate(start.unbind(1)):
            if worse:
                logits = guide(
                    self.logits(hidden[:, -1]).float(), worse.head.logits(other[:, -1]).float(), options.guidance
                )
            else:
                logits = self.guided_logits(hidden[:, -1], options.guidance, image_weight)
            finite &= logits.sum().isfinite()
            codes[:, number] = choose(logits, uniforms, options.temperature, options.top_k, options.top_p)
            if log_probs is not None:
                log_probs.append(log_prob(logits, codes[:, number], options.temperature))
            if on_step is not None:
                on_step(number + 1, start.shape[1], codes[:, : number + 1])
            if number + 1 < start.shape[1]:
                embeds = self.embed(codes[:, number : number + 1])
                hidden = span(embeds.repeat(len(hidden) // len(embeds), 1, 1), at=number + 1)
                if worse:
                    other = worse.span(worse.head.embed(codes[:, number : number + 1]), at=number + 1)
        check_finite(finite)
        return codes

    def glimpse(self, before: Tensor, latents: Tensor, done: int, options: CodeSampling) -> Glimpse:
        """The codes so far, the last one repeated over the rest of the image, which is not drawn yet."""
        rest = latents[:, -1:].expand(-1, self.num_tokens - done)
        return Glimpse(torch.cat([latents, rest], dim=1), done, f"{done} of {self.num_tokens} codes")

    def guided_logits(self, hidden: Tensor, weight: float, image_weight: float = 1.0) -> Tensor:
        """Guided logits (G, K) in fp32 from hidden states (R, D), the unconditional half last; R = G where w = 1.

        With an ``image_weight`` other than 1, R = 3 G: the last thirds are behind what is shown, and behind nothing.
        """
        features = F.gelu(self.hidden(hidden))
        if image_weight != 1:
            conditional, wordless, empty = features.float().chunk(3)
            guided = guide(conditional, wordless, weight)
            features = guide_by_image(guided, wordless, empty, image_weight).to(features.dtype)
        elif weight != 1:
            conditional, unconditional = features.float().chunk(2)
            features = guide(conditional, unconditional, weight).to(features.dtype)
        return self.classifier(features).float()

    def sample_bytes(self) -> int:
        """Logits, probabilities and their cumulative sums."""
        return 8 * self.config.codebook_size * 4

    @torch.no_grad()
    def adopt(self, codebook: Tensor) -> None:
        """Let the codes' embedding begin as the codebook, where it is as wide, which is what Janus embeds codes by."""
        if self.encoder.weight.shape == codebook.shape:
            self.encoder.weight.copy_(codebook)
