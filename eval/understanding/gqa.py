"""GQA, testdev-balanced: exact match.

Source: Hudson and Manning 2019, "GQA: A New Dataset for Real-World Visual Reasoning" (arXiv:1902.09506). Files of
cs.stanford.edu/people/dorarad/gqa::

    testdev_balanced_questions.json     {id: {"imageId", "question", "answer", "types": {"structural", "semantic"}}}
    images/<image id>.jpg
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.files import Row, find_file, read_table
from eval.task import Need, Problems, Question, Record, Scored
from eval.understanding.benchmark import (
    Asked,
    Benchmark,
    Reading,
    credits,
    percent,
    percent_by_group,
    short_answer,
    with_images,
)

FILE = "testdev_balanced_questions.json"
TYPES = ("structural", "semantic")
READING = "exact, in lower case, without outer blanks and final periods; VLMEvalKit counts the periods"


def read_answer(text: str) -> str:
    """An answer as it is compared: without outer blanks, in lower case, without periods at its end.

    Nothing else is forgiven: neither articles nor longer answers.
    """
    return text.strip().lower().rstrip(".").strip()


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
    columns = {"GQA": "accuracy"}
    facts = {"split": "testdev-balanced", "reading": READING}

    def read(self, folder: Path) -> list[Question]:
        asked = []
        for key, row in read_table(find_file(folder, FILE, f"*/{FILE}")).items():
            image, text, answer, types = row.take(imageId=str, question=str, answer=str, types=dict)
            kinds = Row(f"{row.where}, types", types).take(structural=str, semantic=str)
            asked.append(
                Asked(
                    key, f"{image}.jpg", short_answer(text), {"answer": answer, **dict(zip(TYPES, kinds, strict=True))}
                )
            )
        return with_images(folder, ("images", ""), asked)

    def read_answer(self, gold: Any, answer: str) -> Reading:
        said = read_answer(answer)
        return Reading(said, said == read_answer(gold["answer"]))

    def total(self, questions: Sequence[Question], items: dict[str, Record], problems: Problems) -> Scored:
        """Accuracies in percent: over all questions, then by structural and by semantic type."""
        right = credits(questions, items)
        scores = {"accuracy": percent(right)}
        for kind in TYPES:
            groups = percent_by_group(zip((one.gold[kind] for one in questions), right, strict=True))
            scores |= {f"{kind} {group}": accuracy for group, accuracy in groups.items()}
        return Scored("accuracy", scores, items, problems)
