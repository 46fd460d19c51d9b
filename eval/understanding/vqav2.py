"""VQAv2: soft accuracy against ten annotators.

Source: Goyal et al. 2017, "Making the V in VQA Matter" (arXiv:1612.00837), and the behaviour of the official
``vqaEval.py``. Files of visualqa.org, as they are unpacked::

    v2_OpenEnded_mscoco_<split>_questions.json    {"questions": [{"question_id", "image_id", "question"}]}
    v2_mscoco_<split>_annotations.json            {"annotations": [{"question_id", "question_type", "answer_type",
                                                   "answers": [{"answer", …} x 10]}]}
    <images>/COCO_<images>_<12-digit image id>.jpg

The test splits' answers are not public: for them there is a file to submit, and no score.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from eval.files import Row, find_file, read_rows
from eval.task import Need, Problems, Question, Record, Scored, Work
from eval.understanding.benchmark import (
    Asked,
    Benchmark,
    Reading,
    UnderstandingOptions,
    credits,
    percent,
    percent_by_group,
    short_answer,
    with_images,
)
from eval.understanding.vqa_normalize import listed_answers, normalize, one_line, soft_accuracy
from janusflow.options import option

ANNOTATORS = 10
ANSWER_TYPES = ("yes/no", "number", "other")
SPLITS = {"val": "val2014", "test-dev": "test-dev2015", "test": "test2015"}  # as the files are called
SIZES = {"val": 214354, "test-dev": 107394, "test": 447793}  # visualqa.org/download.html, and test-dev's file
IMAGES = {"val": "val2014", "test-dev": "test2015", "test": "test2015"}


def score_answer(prediction: str, answers: Sequence[str]) -> Reading:
    """Soft accuracy of an answer against the annotators', as the official script computes it.

    Line feeds, tabs and outer blanks go everywhere; case, punctuation, articles and number words only where the
    annotators do not all say the same. Where they do, "Yes" and "yes." are wrong for "yes".
    Raises ``ValueError`` without any annotator, and for a text in the place of their list.
    """
    read, gold = one_line(prediction), [one_line(answer) for answer in listed_answers(answers)]
    if len(set(gold)) > 1:
        read, gold = normalize(read), [normalize(answer) for answer in gold]
    return Reading(read, soft_accuracy(read, gold))


@dataclass(frozen=True)
class VQAv2Options(UnderstandingOptions):
    """Which part of VQAv2."""

    split: str = option("val", "part of the benchmark; the test parts are scored by a server", tuple(SPLITS))


class VQAv2(Benchmark):
    """214,354 questions on the validation images."""

    name = "vqav2"
    title = "VQAv2 soft accuracy"
    part = "answer_type"
    options: ClassVar[type] = VQAv2Options
    needs = (
        Need("VQAv2 questions and annotations", "visualqa.org/download.html", "30 MB a split", "--data FOLDER"),
        Need("COCO images, in the same folder", "cocodataset.org/#download", "6 to 12 GB a split", "--data FOLDER"),
    )
    columns = {"VQAv2 val": "accuracy", "VQAv2 test": "test accuracy"}

    def __init__(self, options: VQAv2Options) -> None:
        super().__init__(options)
        self.size = SIZES[options.split]
        self.split = SPLITS[options.split]
        self.facts = {"split": self.split}

    def read(self, folder: Path) -> list[Question]:
        images = IMAGES[self.given.split]
        rows = read_rows(_find(folder, f"v2_OpenEnded_mscoco_{self.split}_questions.json"), "questions")
        asked = [row.take(question_id=int, image_id=int, question=str) for row in rows]
        gold = {} if images == "test2015" else read_annotations(folder, self.split)
        odd = gold.keys() ^ {key for key, _, _ in asked} if gold else ()
        if odd:
            raise ValueError(f"question {min(odd)} stands in only one of VQAv2's two files of {self.split}")
        named = [
            Asked(key, f"COCO_{images}_{image:012d}.jpg", short_answer(text), gold.get(key))
            for key, image, text in asked
        ]
        return with_images(folder, (images, f"images/{images}", "images"), named)

    def read_answer(self, gold: Any, answer: str) -> Reading:
        return score_answer(answer, gold["answers"])

    def score_answers(self, questions: Sequence[Question], answers: Mapping[str, str]) -> Scored:
        """As for every benchmark; the test parts, whose answers are not public, have no score."""
        if self.split.startswith("val"):
            return super().score_answers(questions, answers)
        missing = [one.id for one in questions if one.id not in answers]
        told = "the test answers are not public: submit the results file to the server that visualqa.org names"
        problems = ({"missing": missing} if missing else {}) | {"not scored": [told]}
        return Scored("test accuracy", {"test accuracy": None}, {}, problems)

    def total(self, questions: Sequence[Question], items: dict[str, Record], problems: Problems) -> Scored:
        """Accuracies in percent: over all questions, by answer type, and by question type among the details."""
        few = [question.id for question in questions if len(question.gold["answers"]) != ANNOTATORS]
        problems |= {"not ten annotators": few} if few else {}
        right = credits(questions, items)
        kinds, forms = (
            percent_by_group(zip((one.gold[field] for one in questions), right, strict=True))
            for field in ("answer_type", "question_type")
        )
        scores = {"accuracy": percent(right)} | {kind: kinds.get(kind) for kind in (*ANSWER_TYPES, *kinds)}
        return Scored("accuracy", scores, items, problems, {"question types": forms})

    def export(self, folder: Path, work: Work, answers: Mapping[str, str]) -> list[Path]:
        """The results file of the official script and of the test server."""
        path = folder / f"v2_OpenEnded_mscoco_{self.split}_janusflow_results.json"
        rows = [{"question_id": int(one.id), "answer": answers.get(one.id, "")} for one in work.questions]
        path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
        return [path]


def read_annotations(folder: Path, split: str) -> dict[int, dict[str, Any]]:
    """By question id: the annotators' answers, the answer type and the question type.

    Raises ``ValueError`` for a missing or damaged file, and for an id that occurs twice.
    """
    found: dict[int, dict[str, Any]] = {}
    for row in read_rows(_find(folder, f"v2_mscoco_{split}_annotations.json"), "annotations"):
        key, given, kind, form = row.take(question_id=int, answers=list, answer_type=str, question_type=str)
        where = f"{row.where} (question {key})"
        texts = [Row(f"{where}, an answer", one).values.get("answer") for one in given]  # which may be blank
        if not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{where} has no answers, or others than texts")
        if key in found:
            raise ValueError(f"{where} stands there twice")
        found[key] = {"answers": texts, "answer_type": kind, "question_type": form}
    return found


def _find(folder: Path, name: str) -> Path:
    """In the folder itself, or a subfolder that the archives may have been unpacked to."""
    return find_file(folder, name, f"*/{name}")
