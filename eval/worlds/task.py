"""A world as a task: prompts of GenEval's tags and questions, in distribution, held out and reworded."""

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
from eval.subsets import evenly
from eval.task import Drawing, Judge, Judged, Question, Record, Scored, Task, Work
from eval.worlds.benchmark import (
    BENCHMARK_SEED,
    DEVELOPMENT_SEED,
    HELD_OUT,
    IN_DISTRIBUTION,
    PARAPHRASED,
    REWORDED,
    SPLITS,
    Answered,
    answer_scores,
    benchmark_prompts,
    benchmark_questions,
    paraphrases,
    tag_scores,
)
from janusflow.models.shapes import parse_size, size_text
from janusflow.options import option
from janusflow.worlds.casts import SQUARE, Frame
from janusflow.worlds.placement import Level
from janusflow.worlds.scenes import World, frame_of

HEADLINES = ("GenEval rules: mean of the tags", "answers: all")  # the first that was measured
SUFFIXES = {  # of the splits' scores
    IN_DISTRIBUTION: "",
    HELD_OUT: " (held out)",
    REWORDED: " (reworded)",
    PARAPHRASED: " (paraphrased)",
}
LEAST = {"prompts_per_tag": 0, "paraphrases": 0, "images_per_prompt": 1, "questions_per_kind": 0, "reference_images": 8}
FEATURE_SCORES = {  # of a result's scores -> their names in tables
    "frechet_siglip": "Fréchet distance, SigLIP features (not FID)",
    "frechet_siglip_floor": "… between two rendered sets (floor)",
    "similarity": "image-text similarity, 100 x cosine",
    "recall": "recall of rendered scenes",
    "recall_floor": "… by another rendered set",
    "nearest": "distance to the nearest training scene",
    "nearest_floor": "… of another rendered set",
}
DIVERSITY = "diversity of a prompt's pictures"


@dataclass(frozen=True)
class WorldOptions:
    """Which world, and how much of it is asked for."""

    cast: str = option(World.cast, "what its things are: shapes or objects")
    level: Level = option("free", "how they are placed")  # noqa: RUF009 - a field
    prompts_per_tag: int = option(8, "prompts of each of GenEval's tags; 0 draws none")
    images_per_prompt: int = option(8, "pictures of each prompt, seeds 0, 1, …")
    paraphrases: int = option(
        0, "prompts, of 132, written without knowledge of the constructions; 0: no such questions either"
    )
    questions_per_kind: int = option(40, "questions of each kind; 0 asks none")
    development: bool = option(False, "ask for other prompts and questions, which settings are chosen by")
    size: str | None = option(
        None, "HEIGHTxWIDTH in pixels of the pictures and of the scenes they are compared with (default: squares)"
    )
    reference_images: int = option(2048, "rendered scenes behind Fréchet distance, recall and nearest scene")

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        World(self.cast, self.level)
        if self.size is not None:
            height, width = parse_size(self.size)
            if height != width and (self.level != "free" or self.cast != "shapes"):
                raise ValueError("pictures that are no squares are judged in the world shapes (free) alone")

    @property
    def frame(self) -> Frame:
        """That of the pictures."""
        return SQUARE if self.size is None else frame_of(*parse_size(self.size))

    @property
    def world(self) -> World:
        """The world that is asked about."""
        return World(self.cast, self.level)

    @property
    def seed(self) -> int:
        """Of prompts and questions."""
        return DEVELOPMENT_SEED if self.development else BENCHMARK_SEED


class WorldTask(Task):
    """GenEval's rules over the cast's detector, diversity, distances in SigLIP's features, and exact answers."""

    name = "world"
    title = "world"
    asks: ClassVar[bool] = True
    options: ClassVar[type] = WorldOptions
    overview = (
        "GenEval rules: mean of the tags (held out)",
        DIVERSITY,
        "answers: all",
        "answers: all (held out)",
        FEATURE_SCORES["frechet_siglip"],
    )

    def __init__(self, options: WorldOptions, splits: Sequence[str] | None = None, side: int | None = None) -> None:
        """``side``: pixels of the pictures that questions are about (default: those of the scorer)."""
        super().__init__(options)
        self.splits = splits or (*SPLITS, *[PARAPHRASED] * (options.paraphrases > 0))
        self.side = side
        self.picture_size = None if options.size is None else parse_size(options.size)

    def prepare(self, limit: int | None = None) -> Work:
        drawings = evenly(self.drawings(), limit, self.place)
        questions = evenly(self.questions(), limit, self.place)
        size = {} if self.picture_size is None else {"picture_size": size_text(self.picture_size)}
        return Work(drawings, questions, protocol={"benchmark_seed": self.given.seed, **size})

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
        given = self.given
        return {
            name: paraphrases(given.cast, given.paraphrases)
            if name == PARAPHRASED
            else benchmark_prompts(given.world, given.prompts_per_tag, name, given.seed)
            for name in self.splits
        }

    def prompt_of(self, drawing: Drawing) -> dict[str, Any]:
        """GenEval's metadata of its prompt."""
        return self.prompts[split_of(drawing)][int(drawing.id.split("/")[1])]

    def questions(self) -> list[Question]:
        """The questions of the splits, ``SPLIT/question/NUMBER``."""
        from eval.worlds.judge import side

        pixels = self.side or side(self.given.cast)
        per_kind = self.given.questions_per_kind
        asked = [
            (f"{split}/question/{number:05d}", scene, question)
            for split in self.splits
            if split != REWORDED
            for number, (scene, question) in enumerate(
                benchmark_questions(self.given.world, per_kind, split, self.given.seed)
            )
        ]
        return [
            Question(name, (png(scene.render(pixels)),), one.text, {"answer": one.answer, "kind": one.kind})
            for name, scene, one in asked
        ]

    def find_pictures(self, folder: Path, work: Work) -> Work:
        return strangers(folder, work)

    def codec_figures(self, noted: Mapping[str, Record]) -> Record:
        """Those of this world's scenes."""
        world = self.given.world
        own = {where: figures for where, figures in noted.items() if where.startswith(f"{world},")}
        measured_by = f"python -m eval.worlds.ceilings CODEC --cast {world.cast} --level {world.level} --card"
        return {"reconstructions": own, "measured_by": measured_by}

    def judge_protocol(self) -> Record:
        from eval.worlds.judge import describe_detector, describe_siglip

        return {"detector": describe_detector(self.given.cast), "features": describe_siglip(self.given.cast)}

    def departures(self, judge: Record) -> list[str]:
        """Of the prompts alone: each cast has one judge, and no paper has a column of this world."""
        return ["development prompts"] if self.given.development else []

    def load_judge(self) -> Judge:
        from eval.worlds.judge import WorldJudge

        return WorldJudge(self.given.cast)

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
                from eval.worlds.judge import diversity_scores, feature_scores

                world = self.given.world
                found["diversity"] = diversity_scores(*self.by_prompt(drawings, judged), world, self.given.frame)
                found |= feature_scores(seen, world, split, self.given.reference_images, self.given.frame)
            if questions:
                answered = [Answered(one.gold["kind"], answers.get(one.id) == one.gold["answer"]) for one in questions]
                found["answers"] = answer_scores(answered)
                items |= {one.id: result._asdict() for one, result in zip(questions, answered, strict=True)}
            scores |= {name + SUFFIXES[split]: value for name, value in flat(found).items()}
        headline = next((name for name in HEADLINES if name in scores), HEADLINES[0])
        return Scored(headline, scores, items, details=details)

    def by_prompt(
        self, drawings: Sequence[Drawing], judged: Mapping[str, Judged]
    ) -> tuple[list[dict[str, Any]], list[list[Judged]]]:
        """The prompts of the pictures that were judged, and the pictures of each."""
        prompts: dict[str, dict[str, Any]] = {}
        pictures: dict[str, list[Judged]] = {}
        for one in drawings:
            if one.id in judged:
                key = one.id.rpartition("/")[0]
                prompts[key] = self.prompt_of(one)
                pictures.setdefault(key, []).append(judged[one.id])
        return list(prompts.values()), list(pictures.values())


def verdict_of(judged: Judged | None, prompt: dict[str, Any]) -> Verdict:
    """GenEval's verdict on what the detector saw."""
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
    for aspect, value in found.get("diversity", {}).items():
        scores[DIVERSITY if aspect == "overall" else f"diversity: {aspect}"] = value
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
