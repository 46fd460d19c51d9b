"""What the losses that learn from verdicts share: how they draw, and what they remember of it.

Legend: G images, halves 1 or 2: training rows behind prompts alone, or also behind dropped ones, where guidance drew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from janusflow.losses import Loss
from janusflow.models.head import Span
from janusflow.options import SamplingOptions

if TYPE_CHECKING:
    from janusflow.models.unified import Forward, ModelConfig


class PolicyLoss(Loss):
    """A loss over images that the model drew itself. Without any, as in validation, it is 0."""

    learns_from_rollouts: ClassVar[bool] = True
    flow: ClassVar[bool]  # for heads that draw by flow, or for those that draw codes

    @classmethod
    def check(cls, config: Any, model: ModelConfig) -> None:
        if model.head.head_class.latent_dtype.is_floating_point != cls.flow:
            what = "draws by flow" if cls.flow else "draws codes"
            raise ValueError(
                f"the loss {config.kind} is for a head that {what}, not for {model.head.head_class.family}"
            )

    def check_sampling(self, options: Any) -> None:
        """Raise ``ValueError`` for options with which it cannot draw."""

    def draw(self, head: Any, span: Span, seeds: list[int], options: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Latents (G, …), and what is to be remembered of how they came, (G, …) each."""
        return head.sample(span, head.start(seeds, span.begin.device), options), {}

    def keep(self, number: int) -> float:
        """The share of themselves that the weights which draw keep at the begin of round ``number``."""
        return 0.0

    def halves(self, options: SamplingOptions) -> int:
        """1 or 2."""
        return 1

    def items(self, options: Any) -> int:
        """How many things to train on an image is."""
        return 1

    def item(self, values: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
        """Those of the image's remembered ``values`` that belong to its item ``number``."""
        return dict(values)

    def mean(self, run: Forward, values: Tensor) -> Tensor:
        """This batch's share of the mean over the step's images, of values (G, …)."""
        halves = self.halves(run.aside.drawn.options) if run.aside.drawn else 1
        images = run.counts.images.clamp(min=1) / halves
        return values.flatten(1).mean(1).sum() / images if len(values) else values.sum()


def check_no_worse(name: str, options: SamplingOptions) -> None:
    """Raise ``ValueError`` for autoguidance: the loss ``name`` draws with its own weights alone."""
    if options.worse:
        raise ValueError(f"{name} draws without a worse model, got {options.worse!r}")
