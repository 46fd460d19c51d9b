"""SEED-Bench, the part about pictures: question types 1 to 9, four options each, 14,233 questions.

Source: Li et al. 2023 (arXiv:2307.16125). The official script ranks the options by likelihood; the papers report
VLMEvalKit's way, which asks for the option's letter and matches the answer (:mod:`eval.understanding.letters`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from eval.files import find_file, read_json
from eval.task import Need, Question, Scored
from eval.understanding.accuracy import percent
from eval.understanding.benchmark import Benchmark, ChoiceOptions
from eval.understanding.letters import match_option
from eval.understanding.prompts import multiple_choice
from eval.understanding.records import check_unique, get_field

TYPES = {
    1: "Scene Understanding",
    2: "Instance Identity",
    3: "Instance Attributes",
    4: "Instance Location",
    5: "Instances Counting",
    6: "Spatial Relation",
    7: "Instance Interaction",
    8: "Visual Reasoning",
    9: "Text Understanding",
}
LAST_TYPE = 12  # types from 10 on are about videos
LETTERS = "ABCD"
IMAGE_FOLDERS = ("SEED-Bench-image", "images", "")
SUFFIXES = ("", ".jpg", ".png")  # the official pictures have none


def score(rows: Sequence[tuple[int, str, str | None]]) -> dict[str, float | None]:
    """Accuracy in percent, over all questions and by type, from (type, right letter, letter in the answer or None).

    A type without questions has no score. Raises ``ValueError`` for an unknown type.
    """
    unknown = {kind for kind, _, _ in rows} - set(TYPES)
    if unknown:
        raise ValueError(f"SEED-Bench has no question type {min(unknown)} about pictures")
    hits = {kind: [label == said for of, label, said in rows if of == kind] for kind in TYPES}
    everything = [hit for of_type in hits.values() for hit in of_type]
    scores = {"overall": percent(everything)}
    return scores | {TYPES[kind]: percent(of_type) for kind, of_type in hits.items() if of_type}


class Seed(Benchmark):
    """SEED-Bench's questions about pictures."""

    name: ClassVar[str] = "seed"
    title: ClassVar[str] = "SEED-Bench (pictures)"
    part: ClassVar[str] = "type"
    options: ClassVar[type] = ChoiceOptions
    size = 14233  # the paper's numbers of samples of types 1 to 9, summed
    columns: ClassVar[Mapping[str, str]] = {"SEED": "overall"}
    needs: ClassVar[tuple[Need, ...]] = (
        Need(
            "questions and pictures",
            "SEED-Bench.json and SEED-Bench-image.zip, unpacked, of the hub data set AILab-CVC/SEED-Bench",
            "6 GB",
            "--data FOLDER",
        ),
    )

    given: ChoiceOptions

    def read(self, folder: Path) -> list[Question]:
        """The questions of types 1 to 9. Raises ``ValueError`` as :func:`read_questions` does."""
        return read_questions(find_file(folder, "SEED-Bench.json", "**/SEED-Bench.json"))

    def protocol(self) -> dict[str, Any]:
        return super().protocol() | {"reading": "VLMEvalKit's exact matching; no judge"}

    def score_answers(self, questions: Sequence[Question], answers: Mapping[str, str]) -> Scored:
        rows, items, problems = [], {}, dict[str, list[str]]()
        for question in questions:
            gold, answer = question.gold, answers.get(question.id)
            label = gold["answer"]
            said = None if answer is None else match_option(answer, gold["options"], self.given.matching)
            rows.append((gold["type"], label, said))
            items[question.id] = {"said": said, "label": label, "correct": said == label}
            if said is None:
                kind = "missing" if answer is None else "unparseable"
                problems.setdefault(kind, []).append(question.id)
        return Scored("overall", score(rows), items, problems)


def read_questions(path: Path) -> list[Question]:
    """The questions about pictures of SEED-Bench.json, with the pictures beside it.

    Raises ``ValueError`` for a row that lacks something, an unknown type or letter, a missing picture, a double id.
    """
    content = read_json(path)
    rows = content.get("questions") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path} holds no list of questions")
    questions = []
    for number, row in enumerate(rows, 1):
        where = f"{path}, question {row.get('question_id', number) if isinstance(row, dict) else number}"
        if not isinstance(row, dict):
            raise ValueError(f"{where} is no object")
        kind = get_field(row, "question_type_id", where, int)
        if not 1 <= kind <= LAST_TYPE:
            raise ValueError(f"{where} has the unknown type {kind!r}")
        if kind in TYPES:
            questions.append(_question(row, kind, path.parent, where))
    check_unique((one.id for one in questions), path)
    if not questions:
        raise ValueError(f"{path} holds no questions about pictures (types 1 to 9)")
    return questions


def find_image(folder: Path, name: str) -> Path:
    """The picture ``name``. Raises ``ValueError`` where there is none."""
    for below in IMAGE_FOLDERS:
        for suffix in SUFFIXES:
            path = folder / below / f"{name}{suffix}"
            if path.is_file():
                return path
    raise ValueError(f"{folder} lacks the picture {name} (unpack SEED-Bench-image.zip there)")


def _question(row: Mapping[str, Any], kind: int, folder: Path, where: str) -> Question:
    choices = {letter: str(get_field(row, f"choice_{letter.lower()}", where, str, int, float)) for letter in LETTERS}
    label = get_field(row, "answer", where, str)
    if label not in choices:
        raise ValueError(f"{where}: an answer is one of {', '.join(LETTERS)}, not {label!r}")
    image = find_image(folder, str(get_field(row, "data_id", where, str, int)))
    text = multiple_choice(get_field(row, "question", where, str), choices)
    gold = {"type": kind, "answer": label, "options": choices}
    return Question(str(get_field(row, "question_id", where, str, int)), (image,), text, gold)
