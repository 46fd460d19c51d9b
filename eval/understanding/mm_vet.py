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

from eval.files import find_file, read_json
from eval.flags import flag
from eval.task import Drawing, Need, Problems, Question, Record, Scored, Work
from eval.understanding.benchmark import Benchmark, UnderstandingOptions
from eval.understanding.records import find_images, take, take_table, unanswered

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

    graded: str | None = flag(None, "the judge's grades of the answers, in the official evaluator's JSON format")


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
        path = None if options.graded is None else Path(options.graded)
        self.grades = None if path is None else read_grades(path)  # before hours of answers
        self.graders = [] if path is None else read_graders(path)

    def read(self, folder: Path) -> list[Question]:
        path = find_file(folder, "mm-vet.json", "*/mm-vet.json")
        asked = []
        for key, row in take_table(read_json(path), str(path)).items():
            where = f"{path}, question {key}"
            image, text, answer, skills = take(row, where, imagename=str, question=str, answer=str, capability=list)
            if not skills or not all(isinstance(skill, str) for skill in skills):
                raise ValueError(f"{where} has no list of capabilities")
            asked.append((key, image, text, {"answer": answer, "capability": skills}))
        files = find_images(path.parent, ("images",), (image for _, image, _, _ in asked))
        return [Question(key, (files[image],), text, gold) for key, image, text, gold in asked]

    def place(self, item: Drawing | Question) -> tuple[str, str]:
        assert isinstance(item, Question)
        return " + ".join(item.gold["capability"]), item.id

    def departures(self, judge: Record) -> list[str]:
        """The official judge is GPT-4; the official evaluator notes beside each grade what gave it."""
        others = [name for name in self.graders if not OFFICIAL_JUDGE.fullmatch(name)]
        return [f"graded by {', '.join(others)}"] if others else []

    def score_answers(self, questions: Sequence[Question], answers: Mapping[str, str]) -> Scored:
        scored = score(questions, answers, self.grades)
        if self.given.graded is None:
            return scored
        path = Path(self.given.graded)
        source = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        return scored._replace(details={**scored.details, "graded": source})

    def export(self, folder: Path, work: Work, answers: Mapping[str, str]) -> list[Path]:
        """The answers for the judge, in the order of the questions; "" where there is none."""
        path = folder / "mm-vet_answers.json"
        table = {question.id: answers.get(question.id, "") for question in work.questions}
        path.write_text(json.dumps(table, ensure_ascii=False, indent=4), encoding="utf-8")
        return [path]


def read_grades(path: Path) -> dict[str, list[Any]]:
    """The grades by question id. Raises ``ValueError`` for a missing or damaged file."""
    table = take_table(read_json(path), str(path))
    return {key: take(row, f"{path}, {key}", score=list)[0] for key, row in table.items()}


def read_graders(path: Path) -> list[str]:
    """The models that gave the grades, each once; where a grade does not say, the file's name is among them."""
    found: set[str] = set()
    for row in take_table(read_json(path), str(path)).values():
        models = row.get("model")
        found |= {str(name) for name in models} if isinstance(models, list) and models else {path.name}
    return sorted(found)


def score(questions: Sequence[Question], answers: Mapping[str, str], grades: Grades | None) -> Scored:
    """Mean grades in percent: of all questions and of each capability, averaged over the judge's runs.

    ``Question.gold``: {"capability": […]}. The combinations of capabilities, the total of each run and their standard
    deviation are details. A missing answer or grade, and a grade that is no number in 0..1, counts as 0 and is named.
    Without ``grades`` every score is None.
    """
    problems: Problems = unanswered(questions, answers)
    if grades is None:
        names = ("total", *CAPABILITIES)
        told = "a judge must grade the answers file; give its grades as --graded FILE"
        return Scored("total", dict.fromkeys(names), {}, problems | {"needs a judge": [told]})
    known = {question.id for question in questions}
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
        if question.id in answers:
            row[: len(given)] = [grade if is_grade(grade) else 0.0 for grade in given]

    skills = [frozenset(question.gold["capability"]) for question in questions]
    totals = 100 * table.mean(axis=0)
    scores = {"total": _mean(table)}
    for skill in (*CAPABILITIES, *sorted(set().union(*skills).difference(CAPABILITIES))):
        scores[skill] = _mean(table[[skill in have for have in skills]])
    combinations = {_combination(have): _mean(table[[have == other for other in skills]]) for have in skills}
    spread = float(totals.std()) if runs else None
    items = {
        question.id: {"score": _share(row), "grades": row.tolist()}
        for question, row in zip(questions, table, strict=True)
    }
    details = {"combinations": combinations, "runs": totals.tolist(), "standard deviation": spread}
    return Scored("total", scores, items, problems, details)


def is_grade(grade: Any) -> bool:
    """Whether a judge's grade is a number in 0..1."""
    return type(grade) in (int, float) and 0 <= grade <= 1  # not of NaN


def _mean(grades: np.ndarray) -> float | None:
    """Of (questions, runs), in percent; None of nothing."""
    return 100 * float(grades.mean()) if grades.size else None


def _share(grades: np.ndarray) -> float | None:
    return float(grades.mean()) if grades.size else None


def _combination(skills: frozenset[str]) -> str:
    """Such as "rec_know_gen", in one order whatever the file's."""
    order = [skill for skill in CAPABILITIES if skill in skills]
    return "_".join([*order, *sorted(skills.difference(CAPABILITIES))])
