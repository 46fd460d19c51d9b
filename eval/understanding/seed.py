"""SEED-Bench, the part about pictures: question types 1 to 9, four options each, 14,233 questions.

Source: Li et al. 2023 (arXiv:2307.16125). The official script ranks the options by likelihood; the papers report
VLMEvalKit's way, which asks for the option's letter and matches the answer (:mod:`eval.understanding.letters`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eval.files import find_file, read_rows
from eval.task import Need, Problems, Question, Record, Scored
from eval.understanding.benchmark import Asked, credits, percent, with_images
from eval.understanding.letters import ChoiceBenchmark, multiple_choice

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


class Seed(ChoiceBenchmark):
    """SEED-Bench's questions about pictures."""

    name = "seed"
    title = "SEED-Bench (pictures)"
    part = "type"
    size = 14233  # the paper's numbers of samples of types 1 to 9, summed
    columns = {"SEED": "overall"}
    needs = (
        Need(
            "questions and pictures",
            "SEED-Bench.json and SEED-Bench-image.zip, unpacked, of the hub data set AILab-CVC/SEED-Bench",
            "6 GB",
            "--data FOLDER",
        ),
    )

    def read(self, folder: Path) -> list[Question]:
        """The questions of types 1 to 9, with the pictures beside their file."""
        path = find_file(folder, "SEED-Bench.json", "**/SEED-Bench.json")
        asked = []
        for row in read_rows(path, "questions"):
            [kind] = row.take(question_type_id=int)
            if not 1 <= kind <= LAST_TYPE:
                raise ValueError(f"{row.where} has the unknown type {kind!r}")
            if kind not in TYPES:
                continue
            texts = row.take(**{f"choice_{letter.lower()}": (str, int, float) for letter in LETTERS})
            options = dict(zip(LETTERS, map(str, texts), strict=True))
            key, image, text, label = row.take(question_id=(str, int), data_id=(str, int), question=str, answer=str)
            if label not in options:
                raise ValueError(f"{row.where}: an answer is one of {', '.join(LETTERS)}, not {label!r}")
            gold = {"type": kind, "answer": label, "options": options}
            asked.append(Asked(key, str(image), multiple_choice(text, options), gold))
        if not asked:
            raise ValueError(f"{path} holds no questions about pictures (types 1 to 9)")
        return with_images(path.parent, IMAGE_FOLDERS, asked, SUFFIXES)

    def total(self, questions: Sequence[Question], items: dict[str, Record], problems: Problems) -> Scored:
        """Accuracy in percent, over all questions and by type. A type without questions has no score."""
        right = credits(questions, items)
        scores = {"overall": percent(right)}
        for kind, name in TYPES.items():
            of_type = [one for one, question in zip(right, questions, strict=True) if question.gold["type"] == kind]
            scores |= {name: percent(of_type)} if of_type else {}
        return Scored("overall", scores, items, problems)
