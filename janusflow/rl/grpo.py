"""GRPO (Shao et al. 2024, arXiv:2402.03300) for heads that draw codes: clipped ratios of the codes' probabilities.

The probabilities are those of the distribution that drew: guided and tempered. Public recipes for unified models draw
guided and train on the unguided ones; ``guided: false`` does as they do.

Legend: G images, R = halves G rows, N codes of an image, K codes in the codebook, D LLM hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from janusflow.decoding import log_prob
from janusflow.losses import LossConfig
from janusflow.models.head import Span
from janusflow.options import CodeSampling, SamplingOptions
from janusflow.rl.policy import PolicyLoss, check_no_worse

if TYPE_CHECKING:
    from janusflow.models.unified import Forward, ModelConfig, UnifiedModel


@dataclass
class GRPOConfig(LossConfig):
    """The loss; in the place of the codes' own (``losses.image.weight=0``)."""

    kind: str = "grpo"
    clip: float = 0.2  # ratios beyond 1 - clip and 1 + clip push no further
    kl: float = 0.01  # weight of the divergence from the model that the run began with
    guided: bool = True  # probabilities under guidance, as drawn; false: those of the conditional half alone

    def __post_init__(self) -> None:
        super().__post_init__()
        check_clip(self.kind, self.clip, self.kl)

    @property
    def needs_reference(self) -> bool:
        return self.kl > 0


class GRPOLoss(PolicyLoss):
    """-min(ratio A, clip(ratio) A) + kl D(p || p_ref), the mean over an image's codes."""

    Config = GRPOConfig
    flow = False

    def __init__(self, config: GRPOConfig, model: ModelConfig) -> None:
        super().__init__(config, model)
        self.config = config

    def check_sampling(self, options: CodeSampling) -> None:
        if options.temperature == 0 or options.top_k is not None or options.top_p != 1:
            raise ValueError(f"grpo draws from all codes: no greedy draws, top_k or top_p, got {options.describe()}")
        check_no_worse(self.config.kind, options)

    def halves(self, options: SamplingOptions) -> int:
        return 2 if self.config.guided and options.guidance != 1 else 1

    def draw(self, head: Any, span: Span, seeds: list[int], options: Any) -> tuple[Tensor, dict[str, Tensor]]:
        noted: list[Tensor] = []
        codes = head.sample(span, head.start(seeds, span.begin.device), options, log_probs=noted)
        if self.halves(options) == 2 or options.guidance == 1:
            return codes, {"log_prob": torch.stack(noted, 1)}
        before = torch.cat([span.begin[: len(codes)], head.embed(codes[:, :-1])], 1)
        logits = head.logits(span(before)).float()  # of the conditional half, which did not draw alone
        return codes, {"log_prob": log_prob(logits, codes, options.temperature)}

    def forward(self, run: Forward) -> Tensor:
        spans, drawn = run.spans(run.hidden), run.aside.drawn
        if drawn is None:
            return 0.0 * spans.sum()
        codes = halved(run.state, self.halves(drawn.options))
        log_probs = self.log_probs(run.model, spans, codes, drawn.options)
        old, advantage = (halved(drawn.values[name], self.halves(drawn.options)) for name in ("log_prob", "advantage"))
        loss, ratio = clipped(log_probs - old, advantage.unsqueeze(1), self.config.clip)
        total = self.mean(run, loss)
        note_ratio(self, run, ratio, self.config.clip)
        if self.config.kl:
            with torch.no_grad():
                reference = run.aside.reference
                assert reference is not None, "a loss that asks another model was built without it"
                head: Any = reference.head
                embeds = reference.embed_rows(run.rows, run.und, head.embed(run.state))
                hidden = reference.run_llm(embeds, run.rows).hidden
                log_reference = self.log_probs(reference, run.spans(hidden), codes, drawn.options)
            gap = log_reference - log_probs
            divergence = self.mean(run, gap.exp() - gap - 1)  # Schulman's estimator: never negative
            run.notes["kl"] = divergence.detach()
            total = total + self.config.kl * divergence
        return total

    def log_probs(self, model: UnifiedModel, spans: Tensor, codes: Tensor, options: CodeSampling) -> Tensor:
        """Log-probabilities (G, N) of codes (G, N) from the hidden states of the spans (R, 1 + N, D)."""
        head: Any = model.head
        weight = options.guidance if self.halves(options) == 2 else 1.0
        logits = head.guided_logits(spans[:, :-1].flatten(0, 1), weight).unflatten(0, codes.shape)
        return log_prob(logits, codes, options.temperature)


def clipped(log_ratio: Tensor, advantage: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """The clipped surrogate (PPO; Schulman et al. 2017, Eq. 7) with its sign turned, and the ratio."""
    ratio = log_ratio.exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage), ratio


def note_ratio(loss: PolicyLoss, run: Forward, ratio: Tensor, clip: float) -> None:
    """Log the mean ratio, and the share of it that is beyond the clip."""
    ratio = ratio.detach()
    run.notes["ratio"] = loss.mean(run, ratio)
    run.notes["clipped"] = loss.mean(run, ((ratio - 1).abs() > clip).float())


def halved(values: Tensor, halves: int) -> Tensor:
    """Those of the first half, where the second repeats them."""
    return values[: len(values) // halves]


def check_clip(name: str, clip: float, kl: float) -> None:
    """Raise ``ValueError`` for impossible settings of a loss."""
    if not 0 < clip < 1 or kl < 0:
        raise ValueError(f"{name} needs a clip in (0, 1) and a kl of 0 or more, got {clip} and {kl}")
