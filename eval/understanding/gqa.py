"""GQA, testdev-balanced: exact match.

Source: Hudson and Manning 2019, "GQA: A New Dataset for Real-World Visual Reasoning" (arXiv:1902.09506). Files of
cs.stanford.edu/people/dorarad/gqa::

    testdev_balanced_questions.json     {id: {"imageId", "question", "answer", "types": {"structural", "semantic"}}}
    images/<image id>.jpg
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from eval.files import find_file, read_json
from eval.task import Need, Question, Record, Scored
from eval.understanding.accuracy import percent, percent_by_group
from eval.understanding.benchmark import Benchmark
from eval.understanding.prompts import short_answer
from eval.understanding.records import find_images, take, take_table, unanswered

FILE = "testdev_balanced_questions.json"
TYPES = ("structural", "semantic")
READING = "exact, in lower case, without outer blanks and final periods; VLMEvalKit counts the periods"


def read_answer(text: str) -> str:
    """An answer as it is compared: without outer blanks, in lower case, without periods at its end."""
    return text.strip().lower().rstrip(".").strip()


def is_right(prediction: str, answer: str) -> bool:
    """Whether an answer is the same as GQA's. Nothing else is forgiven: neither articles nor longer answers."""
    return read_answer(prediction) == read_answer(answer)


class GQA(Benchmark):
    """12,578 questions about 398 pictures."""

    name = "gqa"
    title = "GQA testdev-balanced accuracy"
    part = "structural"
    needs = (
        Need("GQA questions 1.2", "cs.stanford.edu/people/dorarad/gqa/download.html", "1.4 GB", "--data FOLDER"),
        Need("GQA images, in the same folder", "cs.stanford.edu/people/dorarad/gqa", "20 GB", "--data FOLDER"),
    )
    size = 12578  # of questions 1.2 at cs.stanford.edu/people/dorarad/gqa
    columns: ClassVar[Mapping[str, str]] = {"GQA": "accuracy"}

    def protocol(self) -> dict[str, Any]:
        return super().protocol() | {"split": "testdev-balanced", "reading": READING}

    def read(self, folder: Path) -> list[Question]:
        path = find_file(folder, FILE, f"*/{FILE}")
        asked = []
        for key, row in take_table(read_json(path), str(path)).items():
            where = f"{path}, question {key}"
            image, text, answer, types = take(row, where, imageId=str, question=str, answer=str, types=dict)
            kinds = take(types, f"{where}, types", structural=str, semantic=str)
            gold = {"answer": answer, **dict(zip(TYPES, kinds, strict=True))}
            asked.append((key, f"{image}.jpg", text, gold))
        files = find_images(folder, ("images", "."), (image for _, image, _, _ in asked))
        return [Question(key, (files[image],), short_answer(text), gold) for key, image, text, gold in asked]

    def score_answers(self, questions: Sequence[Question], answers: Mapping[str, str]) -> Scored:
        return score(questions, answers)


def score(questions: Sequence[Question], answers: Mapping[str, str]) -> Scored:
    """Accuracies in percent: over all questions, then by structural and by semantic type.

    ``Question.gold``: {"answer", "structural", "semantic"}. No answer is a wrong answer.
    """
    items: dict[str, Record] = {}
    for question in questions:
        given = answers.get(question.id)
        right = given is not None and is_right(given, question.gold["answer"])
        items[question.id] = {"read": None if given is None else read_answer(given), "score": float(right)}
    scores = {"accuracy": percent([item["score"] for item in items.values()])}
    for kind in TYPES:
        groups = percent_by_group((one.gold[kind], items[one.id]["score"]) for one in questions)
        scores |= {f"{kind} {group}": accuracy for group, accuracy in groups.items()}
    return Scored("accuracy", scores, items, unanswered(questions, answers))
