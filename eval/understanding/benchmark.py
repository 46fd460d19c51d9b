"""What the understanding benchmarks share: they are read from a folder, answered greedily, and scored by a function."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from eval.fid.prompt_lists import evenly
from eval.files import find_data
from eval.flags import flag
from eval.task import Drawing, Judged, Question, Record, Scored, Task, Work
from eval.understanding.letters import MATCHINGS


@dataclass(frozen=True)
class UnderstandingOptions:
    """Where the benchmark is."""

    data: str | None = flag(None, "folder with the benchmark's files, or a hub id of a data set that holds them")


@dataclass(frozen=True)
class ChoiceOptions(UnderstandingOptions):
    """Where the benchmark is, and how letters are read."""

    matching: str = flag(MATCHINGS[0], "the year of VLMEvalKit's exact matching; the papers' is 2024's", MATCHINGS)

    def __post_init__(self) -> None:
        if self.matching not in MATCHINGS:
            raise ValueError(f"--matching must be one of {', '.join(MATCHINGS)}, not {self.matching!r}")


def hash_of(questions: Sequence[Question]) -> str:
    """First 12 hex digits of the SHA-256 of all questions with their answers, without the pictures."""
    lines = (json.dumps([one.id, one.text, one.gold], sort_keys=True) for one in questions)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


class Benchmark(Task):
    """A task of questions only."""

    options: ClassVar[type] = UnderstandingOptions
    draws: ClassVar[bool] = False
    asks: ClassVar[bool] = True
    system_prompt: ClassVar[str | None] = ""
    part: ClassVar[str] = ""  # key of the questions' gold that names their part of the benchmark

    @abstractmethod
    def read(self, folder: Path) -> list[Question]:
        """All questions, in the files' order. Raises ``ValueError`` where a file is missing or damaged."""

    @abstractmethod
    def score_answers(self, questions: Sequence[Question], answers: Mapping[str, str]) -> Scored:
        """The result, from the answers by question id."""

    def prepare(self, limit: int | None = None) -> Work:
        questions = self.read(find_data(self.given.data, self.name, self.needs))
        protocol = {**self.protocol(), "questions": hash_of(questions)}
        return Work(questions=evenly(questions, limit, self.place), protocol=protocol)

    def place(self, item: Drawing | Question) -> tuple[str, str]:
        assert isinstance(item, Question)
        return str(item.gold[self.part]) if self.part and item.gold else "", item.id

    def protocol(self) -> dict[str, Any]:
        """Facts about the questions that a score must state."""
        return {"prompt": "VLMEvalKit's for Janus", "decoding": "greedy", "system prompt": self.system_prompt or "none"}

    def departures(self, judge: Record) -> list[str]:
        """None: the benchmark's own rules read the answers, and have no options."""
        return []

    def score(self, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str]) -> Scored:
        return self.score_answers(work.questions, answers)
