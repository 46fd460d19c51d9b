"""What the understanding benchmarks share: questions are read from a folder, answered greedily, and scored by rules.

The prompts are VLMEvalKit's for Janus, whose numbers the papers report. Images stand in front of the text, whatever
their number, and a mark such as ``<image 1>`` stays in the text as it is. Ours differ in line breaks: one stands behind
each of several images, as in transformers' template of Janus, where VLMEvalKit has one behind the last; and one behind
the image of VQAv2, GQA, ChartQA and TextVQA, where it has none.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from eval.files import find_data, find_images
from eval.subsets import evenly
from eval.task import Drawing, Judged, Problems, Question, Record, Scored, Task, Work
from janusflow.options import option

SHORT = "Answer the question using a single word or phrase."


@dataclass(frozen=True)
class UnderstandingOptions:
    """Where the benchmark is."""

    data: str | None = option(None, "folder with the benchmark's files, or a hub id of a data set that holds them")


class Reading(NamedTuple):
    """What a benchmark's rules make of an answer."""

    read: str | None  # the answer as it is compared; None where the rules find none in it
    score: float  # 0..1
    parsed: bool = True  # whether the rules found an answer in it


class Asked(NamedTuple):
    """A question as a file has it."""

    id: Any  # becomes text
    image: str  # the image's name
    text: str  # what the model is asked
    gold: Any


def short_answer(question: str) -> str:
    """The prompt of yes/no questions and of questions with a short answer."""
    return f"{question}\n{SHORT}"


def percent(values: Sequence[float]) -> float | None:
    """The mean of values in 0..1 as a percentage; None of nothing."""
    return 100 * sum(values) / len(values) if len(values) else None


def percent_by_group(values: Iterable[tuple[str, float]]) -> dict[str, float | None]:
    """The percentage of each group of (group, value), by the groups' names in order."""
    groups: dict[str, list[float]] = {}
    for group, value in values:
        groups.setdefault(group, []).append(value)
    return {group: percent(groups[group]) for group in sorted(groups)}


def text_of(gold: str | float) -> str:
    """A right answer as text; a number, NumPy's too, is what ``str`` writes. Raises ``ValueError`` for all else."""
    if isinstance(gold, bool) or not isinstance(gold, str | Real):
        raise ValueError(f"a right answer is a text or a number, not {gold!r}")
    return str(gold)


class Benchmark(Task):
    """A task of questions only: a reader of the official files, and rules that read an answer and sum answers up."""

    options: ClassVar[type] = UnderstandingOptions
    draws: ClassVar[bool] = False
    asks: ClassVar[bool] = True
    system_prompt: ClassVar[str | None] = ""
    part: ClassVar[str] = ""  # key of the questions' gold that names their part of the benchmark
    label: ClassVar[str] = ""  # key of the gold that holds the right one of a few answers
    facts: Record = {}  # about the questions, which a score must state

    @abstractmethod
    def read(self, folder: Path) -> list[Question]:
        """All questions, in the files' order. Raises ``ValueError`` where a file is missing or damaged."""

    @abstractmethod
    def read_answer(self, gold: Any, answer: str) -> Reading:
        """What the rules make of an answer."""

    @abstractmethod
    def total(self, questions: Sequence[Question], items: dict[str, Record], problems: Problems) -> Scored:
        """The result, from the items as :meth:`score_answers` makes them, which begins with these problems."""

    def prepare(self, limit: int | None = None) -> Work:
        questions = self.read(find_data(self.given.data, self.name, self.needs))
        prompt = {
            "prompt": "VLMEvalKit's for Janus",
            "decoding": "greedy",
            "system prompt": self.system_prompt or "none",
        }
        protocol = {**prompt, **self.facts, "questions": hash_of(questions)}
        return Work(questions=evenly(questions, limit, self.place), protocol=protocol)

    def place(self, item: Drawing | Question) -> tuple[str, str]:
        assert isinstance(item, Question)
        return str(item.gold[self.part]) if self.part and item.gold else "", item.id

    def departures(self, judge: Record) -> list[str]:
        """None: the benchmark's own rules read the answers, and have no options."""
        return []

    def score(self, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str]) -> Scored:
        return self.score_answers(work.questions, answers)

    def score_answers(self, questions: Sequence[Question], answers: Mapping[str, str]) -> Scored:
        """The result, from the answers by question id. What has no answer, or none that the rules find, is wrong."""
        items: dict[str, Record] = {}
        problems: Problems = {}
        for one in questions:
            answer = answers.get(one.id)
            said = Reading(None, 0.0, False) if answer is None else self.read_answer(one.gold, answer)
            if self.label:
                items[one.id] = {"said": said.read, "label": one.gold[self.label], "correct": bool(said.score)}
            else:
                items[one.id] = {"read": said.read, "score": float(said.score)}
            if not said.parsed:
                problems.setdefault("missing" if answer is None else "unparseable", []).append(one.id)
        return self.total(questions, items, problems)


def with_images(
    folder: Path, places: Sequence[str], asked: Sequence[Asked], suffixes: Sequence[str] = ("",)
) -> list[Question]:
    """The questions, each with its image, which :func:`eval.files.find_images` finds."""
    files = find_images(folder, (one.image for one in asked), places, suffixes)
    return [Question(str(one.id), (files[one.image],), one.text, one.gold) for one in asked]


def credits(questions: Sequence[Question], items: Mapping[str, Record]) -> list[float]:
    """The items' scores in 0..1, in the questions' order."""
    return [float(items[one.id]["correct" if "correct" in items[one.id] else "score"]) for one in questions]


def hash_of(questions: Sequence[Question]) -> str:
    """First 12 hex digits of the SHA-256 of all questions with their answers, without the images."""
    lines = (json.dumps([one.id, one.text, one.gold], sort_keys=True) for one in questions)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
