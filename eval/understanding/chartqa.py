"""ChartQA, test part: relaxed accuracy.

Source: Masry et al. 2022, "ChartQA: A Benchmark for Question Answering about Charts" (arXiv:2203.10244), Sec. 5.1: a
number may be off by 5 % of the gold one. What a number is follows Pix2Struct's metric, which VLMEvalKit uses too.
Files, in the archive's "ChartQA Dataset"::

    test/test_human.json, test/test_augmented.json      [{"imgname", "query", "label"}], 1,250 each
    test/png/<imgname>
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.files import find_file, read_rows
from eval.task import Need, Problems, Question, Record, Scored
from eval.understanding.benchmark import (
    Asked,
    Benchmark,
    Reading,
    credits,
    percent,
    percent_by_group,
    short_answer,
    text_of,
    with_images,
)

TOLERANCE = 0.05  # of the gold number, on either side
PARTS = ("human", "augmented")


def read_number(text: str) -> float | None:
    """The number that a text is: what ``float`` reads, "x%" as x / 100; None for any other.

    So "1e3", " 7 ", "-.5" and "nan" are numbers; "1,000", "$5", "1/2", "5 percent" and "" are not.
    """
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None


def is_right(prediction: str, label: str | float) -> bool:
    """Relaxed accuracy of one answer: |p - t| / |t| <= 0.05 where both are numbers and t, the gold one, is not 0.

    Otherwise the texts must be equal but for case, so "0.0" is wrong for "0", and "1000" for "1,000". Outer blanks do
    not count. A label that is a number is its text. Raises ``ValueError`` for any other label.
    """
    prediction, label = prediction.strip(), text_of(label).strip()
    value, target = read_number(prediction), read_number(label)
    if value is not None and target:  # a target that is not a number is true, and nothing is near it
        return abs(value - target) / abs(target) <= TOLERANCE
    return prediction.lower() == label.lower()


class ChartQA(Benchmark):
    """1,250 questions by people and 1,250 by a program."""

    name = "chartqa"
    title = "ChartQA relaxed accuracy"
    part = "part"
    needs = (
        Need(
            "the unpacked ChartQA Dataset.zip",
            "ahmed-masry/ChartQA on the hub (the archive, not the parquet files)",
            "875 MB",
            "--data FOLDER",
        ),
    )
    size = 2500  # Masry et al. 2022: 1,250 a part
    columns = {"ChartQA": "accuracy"}
    facts = {"split": "test"}

    def read(self, folder: Path) -> list[Question]:
        asked = []
        for part in PARTS:
            name = f"test_{part}.json"
            path = find_file(folder, name, f"test/{name}", f"*/test/{name}")
            for number, row in enumerate(read_rows(path)):
                image, text, label = row.take(imgname=str, query=str, label=(str, int, float))
                asked.append(Asked(f"{part}/{number}", image, short_answer(text), {"label": str(label), "part": part}))
        return with_images(path.parent, ("png",), asked)

    def read_answer(self, gold: Any, answer: str) -> Reading:
        return Reading(answer.strip(), is_right(answer, gold["label"]))

    def total(self, questions: Sequence[Question], items: dict[str, Record], problems: Problems) -> Scored:
        """Relaxed accuracies in percent: over all questions, the mean of the whole halves, and of each half."""
        right = credits(questions, items)
        parts = percent_by_group(zip((one.gold["part"] for one in questions), right, strict=True))
        scores = {"accuracy": percent(right)} | {part: parts.get(part) for part in PARTS}
        return Scored("accuracy", scores, items, problems)
