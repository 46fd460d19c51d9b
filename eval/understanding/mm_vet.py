"""MM-Vet: open questions, whose answers a language model grades. Here they are asked, written out, and summed up.

Source: Yu et al. 2023, "MM-Vet" (arXiv:2308.02490), and the behaviour of its official evaluator. Files of the release
``mm-vet.zip``::

    mm-vet.json             {"v1_0": {"imagename", "question", "answer", "capability": ["ocr", "math"]}}, 218 of them
    images/<imagename>

What goes to the judge: {"v1_0": "answer"}. What comes back: {"v1_0": {"model": […], "content": […], "score": […]}}, one
grade in 0..1 for each run of the judge. The papers' grades are by GPT-4, and another judge gives other numbers.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from eval.files import find_file, read_table
from eval.task import Drawing, Need, Problems, Question, Record, Scored, Work
from eval.understanding.benchmark import Asked, Benchmark, Reading, UnderstandingOptions, with_images
from janusflow.options import option

OFFICIAL_JUDGE = re.compile(r"gpt-4(-(?!o)[\w-]+)?")  # GPT-4 and its dated releases, as the evaluator notes them
CAPABILITIES = ("rec", "ocr", "know", "gen", "spat", "math")
SYSTEM_PROMPT = (  # VLMEvalKit's for Janus on MM-Vet
    "You are a helpful assistant. Please answer truthfully and write out your thinking step by step to be sure you get "
    "the right answer."
)

Grades = Mapping[str, Sequence[Any]]  # by question id: what the judge gave, a grade a run


@dataclass(frozen=True)
class MMVetOptions(UnderstandingOptions):
    """Where the judge's grades are."""

    graded: str | None = option(None, "the judge's grades of the answers, in the official evaluator's JSON format")


class MMVet(Benchmark):
    """218 questions that take several capabilities at once."""

    name = "mm-vet"
    title = "MM-Vet"
    options: ClassVar[type] = MMVetOptions
    needs = (
        Need("mm-vet.zip, unpacked", "releases of github.com/yuweihao/MM-Vet", "67 MB", "--data FOLDER"),
        Need("grades by GPT-4", "the official evaluator, on the answers that a run writes", "-", "--graded FILE"),
    )
    size = 218  # Yu et al. 2023
    columns: ClassVar[Mapping[str, str]] = {"MM-Vet": "total"}
    max_new_tokens: ClassVar[int] = 2048  # VLMEvalKit's
    system_prompt: ClassVar[str | None] = SYSTEM_PROMPT

    def __init__(self, options: MMVetOptions) -> None:
        super().__init__(options)
        self.grades: Grades | None = None
        self.graders: list[str] = []
        if options.graded is not None:  # before hours of answers
            self.grades, self.graders = read_grades(Path(options.graded))

    def read(self, folder: Path) -> list[Question]:
        path = find_file(folder, "mm-vet.json", "*/mm-vet.json")
        asked = []
        for key, row in read_table(path).items():
            image, text, answer = row.take(imagename=str, question=str, answer=str)
            asked.append(Asked(key, image, text, {"answer": answer, "capability": row.take_texts("capability")}))
        return with_images(path.parent, ("images",), asked)

    def place(self, item: Drawing | Question) -> tuple[str, str]:
        assert isinstance(item, Question)
        return " + ".join(item.gold["capability"]), item.id

    def departures(self, judge: Record) -> list[str]:
        """The official judge is GPT-4; the official evaluator notes beside each grade what gave it."""
        others = [name for name in self.graders if not OFFICIAL_JUDGE.fullmatch(name)]
        return [f"graded by {', '.join(others)}"] if others else []

    def read_answer(self, gold: Any, answer: str) -> Reading:
        return Reading(answer, 0.0)  # the judge's to read

    def total(self, questions: Sequence[Question], items: dict[str, Record], problems: Problems) -> Scored:
        """Mean grades in percent: of all questions and of each capability, averaged over the judge's runs.

        The combinations of capabilities, the total of each run and their standard deviation are details. A missing
        answer or grade, and a grade that is no number in 0..1, counts as 0 and is named. Without grades every score is
        None.
        """
        if self.grades is None:
            told = "a judge must grade the answers file; give its grades as --graded FILE"
            scores = dict.fromkeys(("total", *CAPABILITIES))
            return Scored("total", scores, {}, problems | {"needs a judge": [told]})
        grades, known, missing = self.grades, {question.id for question in questions}, problems.get("missing", ())
        strangers = [key for key in grades if key not in known]
        problems |= {"grade of another question": strangers} if strangers else {}

        runs = max((len(grades.get(question.id, ())) for question in questions), default=0)
        table = np.zeros((len(questions), runs))  # (questions, runs), in 0..1
        for row, question in zip(table, questions, strict=True):
            given = grades.get(question.id, ())
            if len(given) < runs or runs == 0:
                problems.setdefault("missing grade", []).append(question.id)
            if not all(is_grade(grade) for grade in given):
                problems.setdefault("unusable grade", []).append(question.id)
            if question.id not in missing:
                row[: len(given)] = [grade if is_grade(grade) else 0.0 for grade in given]

        skills = [frozenset(question.gold["capability"]) for question in questions]
        totals = 100 * table.mean(axis=0)
        scores = {"total": _mean(table)}
        for skill in (*CAPABILITIES, *sorted(set().union(*skills).difference(CAPABILITIES))):
            scores[skill] = _mean(table[[skill in have for have in skills]])
        path = Path(self.given.graded)
        details = {
            "combinations": {_combination(have): _mean(table[[have == one for one in skills]]) for have in skills},
            "runs": totals.tolist(),
            "standard deviation": float(totals.std()) if runs else None,
            "graded": {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
        }
        shares = [float(row.mean()) if runs else None for row in table]
        items = {
            question.id: {"score": share, "grades": row.tolist()}
            for question, share, row in zip(questions, shares, table, strict=True)
        }
        return Scored("total", scores, items, problems, details)

    def export(self, folder: Path, work: Work, answers: Mapping[str, str]) -> list[Path]:
        """The answers for the judge, in the order of the questions; "" where there is none."""
        path = folder / "mm-vet_answers.json"
        table = {question.id: answers.get(question.id, "") for question in work.questions}
        path.write_text(json.dumps(table, ensure_ascii=False, indent=4), encoding="utf-8")
        return [path]


def read_grades(path: Path) -> tuple[Grades, list[str]]:
    """The grades by question id, and the models that gave them, each once.

    Where a grade does not say, the file's name is among these. Raises ``ValueError`` for a missing or damaged file.
    """
    grades, graders = {}, set()
    for key, row in read_table(path).items():
        [grades[key]] = row.take(score=list)
        models = row.values.get("model")
        graders |= {str(name) for name in models} if isinstance(models, list) and models else {path.name}
    return grades, sorted(graders)


def is_grade(grade: Any) -> bool:
    """Whether a judge's grade is a number in 0..1."""
    return type(grade) in (int, float) and 0 <= grade <= 1  # not of NaN


def _mean(grades: np.ndarray) -> float | None:
    """Of (questions, runs), in percent; None of nothing."""
    return 100 * float(grades.mean()) if grades.size else None


def _combination(skills: frozenset[str]) -> str:
    """Such as "rec_know_gen", in one order whatever the file's."""
    order = [skill for skill in CAPABILITIES if skill in skills]
    return "_".join([*order, *sorted(skills.difference(CAPABILITIES))])
