"""TextVQA, validation part: soft accuracy against ten annotators, read as M4C's processor reads, without OCR tokens.

Source: Singh et al. 2019, "Towards VQA Models That Can Read" (arXiv:1904.08920), and MMF's evaluator. Files of
textvqa.org, version 0.5.1::

    TextVQA_0.5.1_val.json              {"data": [{"question_id", "image_id", "question", "answers": [text x 10]}]}
    train_images/<image id>.jpg         the validation images lie among those of training
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from eval.files import find_file, read_json
from eval.task import Need, Problems, Question, Record, Scored
from eval.understanding.accuracy import listed_answers, percent, soft_accuracy
from eval.understanding.benchmark import Benchmark
from eval.understanding.m4c import normalize_m4c
from eval.understanding.prompts import short_answer
from eval.understanding.records import by_id, find_images, take, take_rows, unanswered

ANNOTATORS = 10
FILE = "TextVQA_0.5.1_val.json"


def score_answer(prediction: str, answers: Sequence[str]) -> float:
    """Soft accuracy in 0..1 after M4C's normaliser on both sides. Raises ``ValueError`` as :func:`listed_answers`."""
    return soft_accuracy(normalize_m4c(prediction), [normalize_m4c(answer) for answer in listed_answers(answers)])


class TextVQA(Benchmark):
    """5,000 questions about text in pictures."""

    name = "textvqa"
    title = "TextVQA soft accuracy"
    needs = (
        Need("TextVQA 0.5.1 val questions", "textvqa.org/dataset", "17 MB", "--data FOLDER"),
        Need("train_val images, in the same folder", "textvqa.org/dataset", "6.6 GB", "--data FOLDER"),
    )
    size = 5000  # textvqa.org/dataset
    columns: ClassVar[Mapping[str, str]] = {"TextVQA": "accuracy"}

    def protocol(self) -> dict[str, Any]:
        return super().protocol() | {"split": "val 0.5.1", "OCR tokens in the prompt": "none"}

    def read(self, folder: Path) -> list[Question]:
        path = find_file(folder, FILE, f"*/{FILE}")
        [rows] = take(read_json(path), str(path), data=list)
        asked = []
        for number, row in enumerate(take_rows(rows, str(path))):
            where = f"{path}, question {number}"
            key, image, text, gold = take(row, where, question_id=int, image_id=str, question=str, answers=list)
            if not gold or not all(isinstance(answer, str) for answer in gold):
                raise ValueError(f"{where} (question {key}) has no list of answers")
            asked.append((key, f"{image}.jpg", text, gold))
        by_id(((key, None) for key, *_ in asked), str(path))
        places = ("train_images", "train_val_images/train_images", "images", "val_images")
        files = find_images(folder, places, (image for _, image, _, _ in asked))
        return [Question(str(key), (files[image],), short_answer(text), gold) for key, image, text, gold in asked]

    def score_answers(self, questions: Sequence[Question], answers: Mapping[str, str]) -> Scored:
        return score(questions, answers)


def score(questions: Sequence[Question], answers: Mapping[str, str]) -> Scored:
    """Accuracy in percent. ``Question.gold``: the annotators' answers. No answer is a wrong answer."""
    few = [question.id for question in questions if len(question.gold) != ANNOTATORS]
    problems: Problems = unanswered(questions, answers) | ({"not ten annotators": few} if few else {})
    items: dict[str, Record] = {}
    for question in questions:
        given = answers.get(question.id)
        read = None if given is None else normalize_m4c(given)
        items[question.id] = {"read": read, "score": 0.0 if given is None else score_answer(given, question.gold)}
    return Scored("accuracy", {"accuracy": percent([item["score"] for item in items.values()])}, items, problems)
