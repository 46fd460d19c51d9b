"""The shapes world as a task: prompts of GenEval's tags and questions, in distribution and held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from eval.geneval.score import Detection, Verdict, score_image
from eval.picture_folder import strangers
from eval.shapes.benchmark import (
    BENCHMARK_SEED,
    FEATURE_SCORES,
    SPLITS,
    Answered,
    answer_scores,
    benchmark_prompts,
    benchmark_questions,
    tag_scores,
)
from eval.subsets import evenly
from eval.task import Drawing, Judge, Judged, Question, Record, Scored, Task, Work
from janusflow.options import option
from janusflow.worlds.shapes import render

HEADLINES = ("GenEval rules: mean of the tags", "answers: all")  # the first that was measured
SUFFIXES = {"in_distribution": "", "held_out": " (held out)"}  # of the splits' scores
LEAST = {"prompts_per_tag": 0, "images_per_prompt": 1, "questions_per_kind": 0, "reference_images": 2}


@dataclass(frozen=True)
class ShapesOptions:
    """How much of the world is asked for."""

    prompts_per_tag: int = option(8, "prompts of each of GenEval's tags; 0 draws none")
    images_per_prompt: int = option(2, "pictures of each prompt, seeds 0, 1, …")
    questions_per_kind: int = option(40, "questions of each kind; 0 asks none")
    reference_images: int = option(512, "rendered scenes behind the Fréchet distance")

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


class ShapesTask(Task):
    """GenEval's rules over the oracle detector, distances in SigLIP's features, and exact answers."""

    name = "shapes"
    title = "shapes world"
    asks: ClassVar[bool] = True
    options: ClassVar[type] = ShapesOptions
    overview = (
        "GenEval rules: mean of the tags (held out)",
        "answers: all",
        "answers: all (held out)",
        FEATURE_SCORES["frechet_siglip"],
    )

    def __init__(self, options: ShapesOptions, splits: Sequence[str] = tuple(SPLITS), side: int | None = None) -> None:
        """``side``: pixels of the pictures that questions are about (default: those of the scorer)."""
        super().__init__(options)
        self.splits, self.side = splits, side

    def prepare(self, limit: int | None = None) -> Work:
        drawings = evenly(self.drawings(), limit, self.place)
        questions = evenly(self.questions(), limit, self.place)
        return Work(drawings, questions, protocol={"benchmark_seed": BENCHMARK_SEED})

    def place(self, item: Drawing | Question) -> tuple[str, str]:
        split = split_of(item)
        if isinstance(item, Question):
            return f"{split} {item.gold['kind']}", item.id
        return f"{split} {self.prompt_of(item)['tag']}", item.id.split("/")[1]

    def drawings(self) -> list[Drawing]:
        """The pictures of the splits, ``SPLIT/PROMPT/SEED.png``."""
        return [
            Drawing(key := f"{split}/{number:05d}/{seed:04d}", prompt["prompt"], (seed,), f"{key}.png")
            for split in self.splits
            for number, prompt in enumerate(self.prompts[split])
            for seed in range(self.given.images_per_prompt)
        ]

    @cached_property
    def prompts(self) -> dict[str, list[dict[str, Any]]]:
        """GenEval's metadata of each split's prompts."""
        return {name: benchmark_prompts(self.given.prompts_per_tag, SPLITS[name]) for name in self.splits}

    def prompt_of(self, drawing: Drawing) -> dict[str, Any]:
        """GenEval's metadata of its prompt."""
        return self.prompts[split_of(drawing)][int(drawing.id.split("/")[1])]

    def questions(self) -> list[Question]:
        """The questions of the splits, ``SPLIT/question/NUMBER``."""
        from eval.shapes.judge import side

        pixels = self.side or side()
        asked = [
            (f"{split}/question/{number:05d}", scene, question)
            for split in self.splits
            for number, (scene, question) in enumerate(
                benchmark_questions(self.given.questions_per_kind, SPLITS[split])
            )
        ]
        return [
            Question(name, (png(render(scene, pixels)),), one.text, {"answer": one.answer, "kind": one.kind})
            for name, scene, one in asked
        ]

    def find_pictures(self, folder: Path, work: Work) -> Work:
        return strangers(folder, work)

    def judge_protocol(self) -> Record:
        from eval.shapes.judge import describe_siglip

        return {"detector": "shapes oracle", "features": describe_siglip()}

    def departures(self, judge: Record) -> list[str]:
        """None: the oracle is the only judge, and no paper has a column of this world."""
        return []

    def load_judge(self) -> Judge:
        from eval.shapes.judge import ShapesJudge

        return ShapesJudge()

    def score(self, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str]) -> Scored:
        return self._score(work, judged, answers, distances=True)

    def resample(
        self, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str]
    ) -> Mapping[str, float | None]:
        """Without the distances, which take longest."""
        return self._score(work, judged, answers, distances=False).scores

    def _score(self, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str], distances: bool) -> Scored:
        scores: dict[str, float | None] = {}
        items: dict[str, Record] = {}
        details: Record = {}
        for split in self.splits:
            drawings = [one for one in work.drawings if split_of(one) == split]
            questions = [one for one in work.questions if split_of(one) == split]
            details[split] = found = {}
            if drawings:
                tags = [self.prompt_of(one)["tag"] for one in drawings]
                verdicts = [verdict_of(judged.get(one.id), self.prompt_of(one)) for one in drawings]
                found["generation"] = tag_scores(verdicts, tags)
                for one, tag, verdict in zip(drawings, tags, verdicts, strict=True):
                    items[one.id] = {"tag": tag, **verdict._asdict()}
            seen = [judged[one.id] for one in drawings if one.id in judged]
            if distances and len(seen) > 1:
                from eval.shapes.judge import feature_scores

                found |= feature_scores(seen, SPLITS[split], self.given.reference_images)
            if questions:
                answered = [Answered(one.gold["kind"], answers.get(one.id) == one.gold["answer"]) for one in questions]
                found["answers"] = answer_scores(answered)
                items |= {one.id: result._asdict() for one, result in zip(questions, answered, strict=True)}
            scores |= {name + SUFFIXES[split]: value for name, value in flat(found).items()}
        headline = next((name for name in HEADLINES if name in scores), HEADLINES[0])
        return Scored(headline, scores, items, details=details)


def verdict_of(judged: Judged | None, prompt: dict[str, Any]) -> Verdict:
    """GenEval's verdict on what the oracle saw."""
    if judged is None:
        return Verdict(False, "no picture")
    seen = judged.record["detections"]
    return score_image([Detection(**{**one, "box": tuple(one["box"])}) for one in seen], prompt)


def flat(found: Record) -> dict[str, float | None]:
    """A split's scores by the names of the table."""
    scores: dict[str, float | None] = {}
    if "generation" in found:
        scores |= {f"GenEval rules: {tag}": value for tag, value in found["generation"]["tags"].items()}
        scores["GenEval rules: mean of the tags"] = found["generation"]["overall"]
    if "answers" in found:
        scores |= {f"answers: {kind}": value for kind, value in found["answers"]["kinds"].items()}
        scores["answers: all"] = found["answers"]["overall"]
    return scores | {label: found[key] for key, label in FEATURE_SCORES.items() if key in found}


def split_of(item: Drawing | Question) -> str:
    """The split of an item."""
    return item.id.split("/")[0]


def png(image: Image.Image) -> bytes:
    """The picture as a file's content."""
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
