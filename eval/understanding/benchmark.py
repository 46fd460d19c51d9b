"""What the understanding benchmarks share: they are read from a folder, answered greedily, and scored by a function."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from eval.files import find_data
from eval.flags import flag
from eval.task import Judged, Question, Scored, Task, Work


@dataclass(frozen=True)
class UnderstandingOptions:
    """Where the benchmark is."""

    data: str | None = flag(None, "folder with the benchmark's files, or a hub id of a data set that holds them")


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

    @abstractmethod
    def read(self, folder: Path) -> list[Question]:
        """All questions, in the files' order. Raises ``ValueError`` where a file is missing or damaged."""

    @abstractmethod
    def score_answers(self, questions: Sequence[Question], answers: Mapping[str, str]) -> Scored:
        """The result, from the answers by question id."""

    def prepare(self, limit: int | None = None) -> Work:
        questions = self.read(find_data(self.given.data, self.name, self.needs))
        return Work(questions=questions[:limit], protocol={**self.protocol(), "questions": hash_of(questions)})

    def protocol(self) -> dict[str, Any]:
        """Facts about the questions that a score must state."""
        return {"prompt": "VLMEvalKit's for Janus", "decoding": "greedy"}

    def score(self, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str]) -> Scored:
        return self.score_answers(work.questions, answers)
