"""TextVQA, validation part: soft accuracy against ten annotators, read as M4C's processor reads, without OCR tokens.

Source: Singh et al. 2019, "Towards VQA Models That Can Read" (arXiv:1904.08920), and MMF's evaluator. Files of
textvqa.org, version 0.5.1::

    TextVQA_0.5.1_val.json              {"data": [{"question_id", "image_id", "question", "answers": [text x 10]}]}
    train_images/<image id>.jpg         the validation images lie among those of training
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.files import find_file, read_rows
from eval.task import Need, Problems, Question, Record, Scored
from eval.understanding.benchmark import Asked, Benchmark, Reading, credits, percent, short_answer, with_images
from eval.understanding.vqa_normalize import listed_answers, normalize_m4c, soft_accuracy

ANNOTATORS = 10
FILE = "TextVQA_0.5.1_val.json"
IMAGES = ("train_images", "train_val_images/train_images", "images", "val_images")


def score_answer(prediction: str, answers: Sequence[str]) -> Reading:
    """Soft accuracy in 0..1 after M4C's normaliser on both sides. Raises ``ValueError`` as :func:`listed_answers`."""
    read = normalize_m4c(prediction)
    return Reading(read, soft_accuracy(read, [normalize_m4c(answer) for answer in listed_answers(answers)]))


class TextVQA(Benchmark):
    """5,000 questions about text in pictures."""

    name = "textvqa"
    title = "TextVQA soft accuracy"
    needs = (
        Need("TextVQA 0.5.1 val questions", "textvqa.org/dataset", "17 MB", "--data FOLDER"),
        Need("train_val images, in the same folder", "textvqa.org/dataset", "6.6 GB", "--data FOLDER"),
    )
    size = 5000  # textvqa.org/dataset
    columns = {"TextVQA": "accuracy"}
    facts = {"split": "val 0.5.1", "OCR tokens in the prompt": "none"}

    def read(self, folder: Path) -> list[Question]:
        asked = []
        for row in read_rows(find_file(folder, FILE, f"*/{FILE}"), "data"):
            key, image, text = row.take(question_id=int, image_id=str, question=str)
            asked.append(Asked(key, f"{image}.jpg", short_answer(text), row.take_texts("answers")))
        return with_images(folder, IMAGES, asked)

    def read_answer(self, gold: Any, answer: str) -> Reading:
        return score_answer(answer, gold)

    def total(self, questions: Sequence[Question], items: dict[str, Record], problems: Problems) -> Scored:
        """Accuracy in percent. ``Question.gold``: the annotators' answers."""
        few = [question.id for question in questions if len(question.gold) != ANNOTATORS]
        problems |= {"not ten annotators": few} if few else {}
        return Scored("accuracy", {"accuracy": percent(credits(questions, items))}, items, problems)
