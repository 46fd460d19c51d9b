"""What a comparison measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from janusflow.options import option
from janusflow.worlds.placement import Level
from janusflow.worlds.scenes import World

if TYPE_CHECKING:
    from janusflow.models.head import GenerationHead
    from janusflow.options import SamplingOptions

COUNTS = (
    *("prompts_per_tag", "images_per_prompt", "questions_per_kind", "batch_size"),
    *("sweep_prompts_per_tag", "sweep_images_per_prompt", "repeats", "bootstrap"),
)


@dataclass(frozen=True)
class CompareConfig:
    """The settings of a comparison, the same for all of its models. The defaults suit the small models."""

    tasks: tuple[str, ...] = option(("generation", "understanding"), "what is scored: generation, understanding")
    cast: str = option("shapes", "what the world's things are: shapes or objects")
    level: Level = option("free", "how they are placed")  # noqa: RUF009 - a field
    prompts_per_tag: int = option(8, "prompts of each of GenEval's tags")
    images_per_prompt: int = option(8, "pictures of each prompt, seeds 0, 1, …")
    questions_per_kind: int = option(40, "questions of each kind")
    reference_images: int = option(2048, "rendered scenes behind Fréchet distance and recall")
    batch_size: int = option(32, "pictures computed together")
    flow_steps: int = option(30, "main table, flow: solver steps")
    flow_sampler: str = option("euler", "main table and sweep, flow: euler, heun or midpoint")
    flow_guidance: float = option(4.0, "main table, flow: classifier-free guidance weight")
    ar_temperature: float = option(1.0, "main table, autoregressive: temperature, 0 is greedy")
    ar_guidance: float = option(4.0, "main table, autoregressive: classifier-free guidance weight")
    ar_top_k: int | None = option(
        None, "main table, autoregressive: draw from that many likeliest codes only (default: from all)"
    )
    ar_top_p: float = option(1.0, "main table, autoregressive: draw from the fewest codes of this probability")
    sweep: bool = True
    steps: tuple[int, ...] = option((1, 2, 4, 8, 16, 30, 64), "sweep, flow: numbers of solver steps")
    guidance: tuple[float, ...] = option((1.0, 2.0, 4.0, 8.0), "sweep, both heads: guidance weights")
    temperatures: tuple[float, ...] = option((0.0, 0.7, 1.0), "sweep, autoregressive: temperatures")
    sweep_prompts_per_tag: int = option(2, "sweep: prompts of each tag, in distribution")
    sweep_images_per_prompt: int = option(8, "sweep: pictures of each prompt")
    repeats: int = option(5, "draws behind a median time")
    bootstrap: int = option(2000, "resamples behind an interval")

    def __post_init__(self) -> None:
        from janusflow.options import check_given
        from janusflow.training.config import REPORT_TASKS

        unknown = sorted(set(self.tasks) - set(REPORT_TASKS))
        if unknown or not self.tasks:
            raise ValueError(f"unknown task {', '.join(unknown) or 'none'!r}; choose from {', '.join(REPORT_TASKS)}")
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.sweep_images_per_prompt < 2:
            raise ValueError("sweep_images_per_prompt must be at least 2: one picture of a prompt has no diversity")
        if self.reference_images < 8:
            raise ValueError(f"reference_images must be at least 8, got {self.reference_images}")
        World(self.cast, self.level)
        for given in (self._main("flow"), self._main("ar"), *self._swept("flow"), *self._swept("ar")):
            check_given(given)

    @property
    def world(self) -> World:
        """The world that is asked about."""
        return World(self.cast, self.level)

    @property
    def generates(self) -> bool:
        """Whether pictures are drawn."""
        return "generation" in self.tasks

    def main_options(self, head: GenerationHead | type[GenerationHead]) -> SamplingOptions:
        """The main table's setting for this head."""
        return head.Options(**self._main(_family(head)))

    def sweep_options(self, head: GenerationHead) -> list[SamplingOptions]:
        """The sweep's settings for this head; none where there is no sweep."""
        swept = self._swept(_family(head)) if self.sweep and self.generates else []
        return [head.Options(**given) for given in swept]

    def _main(self, family: str) -> dict[str, Any]:
        prefix = f"{family}_"
        return {name.removeprefix(prefix): value for name, value in vars(self).items() if name.startswith(prefix)}

    def _swept(self, family: str) -> list[dict[str, Any]]:
        if family == "flow":
            main = self._main(family)
            return [{**main, "steps": steps, "guidance": weight} for weight in self.guidance for steps in self.steps]
        return [{"guidance": weight, "temperature": one} for weight in self.guidance for one in self.temperatures]


def _family(head: GenerationHead | type[GenerationHead]) -> str:
    return "flow" if "steps" in head.Options.names() else "ar"
