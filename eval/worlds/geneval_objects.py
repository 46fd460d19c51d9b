"""GenEval's own prompts in the world of objects: those that speak of the drawings' classes, GenEval's rules, our
detector. No GenEval score: pictures are drawings, and another detector looks at them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from eval.geneval.layout import SAMPLES, index_of
from eval.geneval.result import score_samples
from eval.geneval.score import Prompt
from eval.geneval.task import GenEval, read_prompts
from eval.task import Judge, Judged, Record, Scored, Task, Work, first_part
from eval.worlds.benchmark import told
from eval.worlds.task import DIVERSITY
from janusflow.options import option
from janusflow.worlds.objects import classes
from janusflow.worlds.scenes import World, groups_held_out

WORLD = World("objects", "free")
PROMPTS = 415  # of GenEval's 553
HELD_OUT = "held out"


@dataclass(frozen=True)
class GenEvalObjectsOptions:
    """Where the prompts are."""

    data: str | None = option(None, "GenEval's prompt file (evaluation_metadata.jsonl), or a folder that holds it")


class GenEvalObjects(GenEval):
    """415 of GenEval's prompts, four pictures each; scores of those that training never shows stand apart."""

    name = "geneval-objects"
    title = f"GenEval prompts, {PROMPTS} of 553, objects world"
    size = PROMPTS * SAMPLES
    options: ClassVar[type] = GenEvalObjectsOptions  # type: ignore[assignment]
    needs = GenEval.needs[:1]
    columns: ClassVar[Mapping[str, str]] = {}
    overview = (f"image accuracy, {HELD_OUT}", DIVERSITY)
    given: GenEvalObjectsOptions  # type: ignore[assignment]

    def __init__(self, options: GenEvalObjectsOptions) -> None:
        Task.__init__(self, options)

    @cached_property
    def prompts(self) -> list[Prompt]:
        """The prompts that name nothing but things of the world, in the file's order."""
        known = set(classes())
        return [one for one in read_prompts(self.prompt_file) if all(c["class"] in known for c in one["include"])]

    def prepare(self, limit: int | None = None) -> Work:
        work = self.prepare_prompts(limit, "original")
        return Work(work.drawings, protocol={**work.protocol, "world": str(WORLD)})

    def judge_protocol(self) -> Record:
        from eval.worlds.judge import describe_detector, describe_siglip

        return {"detector": describe_detector(WORLD.cast), "features": describe_siglip(WORLD.cast)}

    def departures(self, judge: Record) -> list[str]:
        """None beside those in the title: no paper has a column of this world."""
        return []

    def load_judge(self) -> Judge:  # type: ignore[override]
        from eval.worlds.judge import WorldJudge

        return WorldJudge(WORLD.cast)

    def score(self, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str]) -> Scored:
        scored = self.rules(work, judged)
        by_prompt: dict[str, list[Judged]] = {}
        for one in work.drawings:
            if one.id in judged:
                by_prompt.setdefault(first_part(one.id), []).append(judged[one.id])
        from eval.worlds.judge import diversity_scores

        prompts = [self.prompts[index_of(name)] for name in by_prompt]
        diversity = diversity_scores(prompts, list(by_prompt.values()), WORLD)
        scores = {**scored.scores, DIVERSITY: diversity.get("overall")}
        return scored._replace(scores=scores, details={**scored.details, "diversity": diversity})

    def resample(
        self, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str]
    ) -> Mapping[str, float | None]:
        """Without the diversity, which takes longest."""
        return self.rules(work, judged).scores

    def rules(self, work: Work, judged: Mapping[str, Judged]) -> Scored:
        """GenEval's scores, and the accuracies over the prompts that training never shows and over the rest."""
        prompts = {drawing.id: self.prompts[index_of(drawing.id)] for drawing in work.drawings}
        scored = score_samples(prompts, {name: one.record for name, one in judged.items() if name in prompts})
        apart: dict[bool, list[bool]] = {True: [], False: []}
        for name, prompt in prompts.items():
            apart[groups_held_out(WORLD.things, told(dict(prompt)))].append(scored.items[name]["correct"])
        accuracies = {
            f"image accuracy, {HELD_OUT if held else 'seen'}": sum(right) / len(right) if right else None
            for held, right in apart.items()
        }
        return scored._replace(scores={**scored.scores, **accuracies})
