"""What a comparison measures."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from janusflow.models.head import GenerationHead
    from janusflow.options import CodeSampling, FlowSampling, SamplingOptions

COUNTS = (
    "prompts_per_tag",
    "images_per_prompt",
    "questions_per_kind",
    "batch_size",
    "sweep_prompts_per_tag",
    "sweep_images_per_prompt",
    "repeats",
    "bootstrap",
)


@dataclass(frozen=True)
class CompareConfig:
    """The settings of a comparison, the same for all of its models. The defaults suit the small models."""

    tasks: tuple[str, ...] = ("generation", "understanding")
    prompts_per_tag: int = 8
    images_per_prompt: int = 2
    questions_per_kind: int = 40
    reference_images: int = 512  # rendered scenes behind the Fréchet distance
    batch_size: int = 32
    flow_steps: int = 30  # main table, flow
    flow_sampler: str = "euler"  # main table and sweep, flow
    flow_guidance: float = 4.0  # main table, flow
    ar_temperature: float = 1.0  # main table, autoregressive
    ar_guidance: float = 4.0  # main table, autoregressive
    ar_top_k: int | None = None  # main table, autoregressive
    ar_top_p: float = 1.0  # main table, autoregressive
    sweep: bool = True
    steps: tuple[int, ...] = (1, 2, 4, 8, 16, 30, 64)  # sweep, flow
    guidance: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)  # sweep, both heads
    temperatures: tuple[float, ...] = (0.0, 0.7, 1.0)  # sweep, autoregressive
    sweep_prompts_per_tag: int = 4
    sweep_images_per_prompt: int = 1
    repeats: int = 5  # draws behind a median time
    bootstrap: int = 2000  # resamples

    def __post_init__(self) -> None:
        from janusflow.training.config import REPORT_TASKS

        unknown = sorted(set(self.tasks) - set(REPORT_TASKS))
        if unknown or not self.tasks:
            raise ValueError(f"unknown task {', '.join(unknown) or 'none'!r}; choose from {', '.join(REPORT_TASKS)}")
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.reference_images < 2:
            raise ValueError(f"reference_images must be at least 2, got {self.reference_images}")
        for options in (self._flow(), self._codes(), *self._flow_sweep(), *self._code_sweep()):
            options.check()

    @property
    def generates(self) -> bool:
        """Whether pictures are drawn."""
        return "generation" in self.tasks

    def main_options(self, head: GenerationHead | type[GenerationHead]) -> SamplingOptions:
        """The main table's setting for this head."""
        flow = self._flow()
        return flow if head.Options is type(flow) else self._codes()

    def sweep_options(self, head: GenerationHead) -> list[SamplingOptions]:
        """The sweep's settings for this head; none where there is no sweep."""
        if not (self.sweep and self.generates):
            return []
        return self._flow_sweep() if head.Options is type(self._flow()) else self._code_sweep()

    def _flow(self) -> FlowSampling:
        from janusflow.options import FlowSampling  # here: a command line's help needs no network

        return FlowSampling(steps=self.flow_steps, guidance=self.flow_guidance, sampler=self.flow_sampler)

    def _codes(self) -> CodeSampling:
        from janusflow.options import CodeSampling

        return CodeSampling(self.ar_guidance, self.ar_temperature, self.ar_top_k, self.ar_top_p)

    def _flow_sweep(self) -> list[SamplingOptions]:
        flow = self._flow()
        pairs = ((weight, steps) for weight in self.guidance for steps in self.steps)
        return [dataclasses.replace(flow, steps=steps, guidance=weight) for weight, steps in pairs]

    def _code_sweep(self) -> list[SamplingOptions]:
        codes = type(self._codes())
        return [codes(weight, temperature) for weight in self.guidance for temperature in self.temperatures]


def short_name(options: SamplingOptions) -> str:
    """A setting in a few characters, for file names and plots: 30w4 (steps, guidance) or T1w4 (temperature)."""
    return options.short
