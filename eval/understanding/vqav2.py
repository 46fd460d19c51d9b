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
from typing import Any, ClassVar, NamedTuple

from eval.files import find_file, read_json
from eval.flags import flag
from eval.task import Need, Problems, Question, Record, Scored, Work
from eval.understanding.accuracy import listed_answers, percent, percent_by_group, soft_accuracy
from eval.understanding.benchmark import Benchmark, UnderstandingOptions
from eval.understanding.prompts import short_answer
from eval.understanding.records import by_id, find_images, take, take_rows, unanswered
from eval.understanding.vqa_normalize import normalize, one_line

ANNOTATORS = 10
ANSWER_TYPES = ("yes/no", "number", "other")
SPLITS = {"val": "val2014", "test-dev": "test-dev2015", "test": "test2015"}  # as the files are called
SIZES = {"val": 214354, "test-dev": 107394, "test": 447793}  # visualqa.org/download.html, and test-dev's file
IMAGES = {"val": "val2014", "test-dev": "test2015", "test": "test2015"}


class Credit(NamedTuple):
    """An answer as it was compared, and its soft accuracy in 0..1."""

    read: str
    score: float


def score_answer(prediction: str, answers: Sequence[str]) -> Credit:
    """Soft accuracy of an answer against the annotators', as the official script computes it.

    Line feeds, tabs and outer blanks go everywhere; case, punctuation, articles and number words only where the
    annotators do not all say the same. Where they do, "Yes" and "yes." are wrong for "yes".
    Raises ``ValueError`` without any annotator, and for a text in the place of their list.
    """
    read, gold = one_line(prediction), [one_line(answer) for answer in listed_answers(answers)]
    if len(set(gold)) > 1:
        read, gold = normalize(read), [normalize(answer) for answer in gold]
    return Credit(read, soft_accuracy(read, gold))


@dataclass(frozen=True)
class VQAv2Options(UnderstandingOptions):
    """Which part of VQAv2."""

    split: str = flag("val", "part of the benchmark; the test parts are scored by a server", tuple(SPLITS))


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
    columns: ClassVar[Mapping[str, str]] = {"VQAv2 val": "accuracy", "VQAv2 test": "test accuracy"}

    def __init__(self, options: VQAv2Options) -> None:
        super().__init__(options)
        if options.split not in SPLITS:
            raise ValueError(f"VQAv2 has no split {options.split!r}; choose from {', '.join(SPLITS)}")
        self.size = SIZES[options.split]

    def protocol(self) -> dict[str, Any]:
        return super().protocol() | {"split": SPLITS[self.given.split]}

    def read(self, folder: Path) -> list[Question]:
        split, images = SPLITS[self.given.split], IMAGES[self.given.split]
        path = find_file(folder, *_anywhere(f"v2_OpenEnded_mscoco_{split}_questions.json"))
        [rows] = take(read_json(path), str(path), questions=list)
        asked = []
        for number, row in enumerate(take_rows(rows, str(path))):
            where = f"{path}, question {number}"
            asked.append((row, *take(row, where, question_id=int, image_id=int, question=str)))
        by_id(((key, None) for _, key, _, _ in asked), str(path))
        gold = {} if images == "test2015" else read_annotations(folder, split)
        if gold and gold.keys() != {key for _, key, _, _ in asked}:
            odd = min(gold.keys() ^ {key for _, key, _, _ in asked})
            raise ValueError(f"question {odd} stands in only one of VQAv2's two files of {split}")
        files = find_images(
            folder, (images, f"images/{images}", "images"), (_image_name(images, image) for _, _, image, _ in asked)
        )
        return [
            Question(str(key), (files[_image_name(images, image)],), short_answer(text), gold.get(key))
            for _, key, image, text in asked
        ]

    def score_answers(self, questions: Sequence[Question], answers: Mapping[str, str]) -> Scored:
        return score(questions, answers)

    def export(self, folder: Path, work: Work, answers: Mapping[str, str]) -> list[Path]:
        """The results file of the official script and of the test server."""
        path = folder / f"v2_OpenEnded_mscoco_{SPLITS[self.given.split]}_janusflow_results.json"
        rows = [{"question_id": int(one.id), "answer": answers.get(one.id, "")} for one in work.questions]
        path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
        return [path]


def read_annotations(folder: Path, split: str) -> dict[int, dict[str, Any]]:
    """By question id: the annotators' answers, the answer type and the question type.

    Raises ``ValueError`` for a missing or damaged file, and for an id that occurs twice.
    """
    path = find_file(folder, *_anywhere(f"v2_mscoco_{split}_annotations.json"))
    [rows] = take(read_json(path), str(path), annotations=list)
    found = []
    for number, row in enumerate(take_rows(rows, str(path))):
        where = f"{path}, annotation {number}"
        key, given, kind, form = take(row, where, question_id=int, answers=list, answer_type=str, question_type=str)
        texts = [take(one, f"{where}, an answer", answer=str)[0] for one in given]
        if not texts:
            raise ValueError(f"{where} (question {key}) has no answers")
        found.append((key, {"answers": texts, "answer_type": kind, "question_type": form}))
    return by_id(found, str(path))


def score(questions: Sequence[Question], answers: Mapping[str, str]) -> Scored:
    """Accuracies in percent: over all questions, by answer type, and by question type among the details.

    ``Question.gold``: {"answers", "answer_type", "question_type"}, or None where the answers are not public; those
    questions take no part, and a result of nothing else is the "test accuracy" None. No answer is a wrong answer.
    """
    problems: Problems = unanswered(questions, answers)
    scored = [question for question in questions if question.gold is not None]
    if not scored:
        told = "the test answers are not public: submit the results file to the server that visualqa.org names"
        return Scored("test accuracy", {"test accuracy": None}, {}, problems | {"not scored": [told]})
    hidden = [question.id for question in questions if question.gold is None]
    few = [question.id for question in scored if len(question.gold["answers"]) != ANNOTATORS]
    problems |= {"no annotation": hidden} if hidden else {}
    problems |= {"not ten annotators": few} if few else {}

    items: dict[str, Record] = {}
    for question in scored:
        given = answers.get(question.id)
        credit = Credit("", 0.0) if given is None else score_answer(given, question.gold["answers"])
        items[question.id] = {"read": None if given is None else credit.read, "score": credit.score}

    def grouped(field: str) -> dict[str, float | None]:
        return percent_by_group((question.gold[field], items[question.id]["score"]) for question in scored)

    kinds = grouped("answer_type")
    scores = {"accuracy": percent([item["score"] for item in items.values()])}
    scores |= {kind: kinds.get(kind) for kind in (*ANSWER_TYPES, *kinds)}
    return Scored("accuracy", scores, items, problems, {"question types": grouped("question_type")})


def _image_name(images: str, image: int) -> str:
    return f"COCO_{images}_{image:012d}.jpg"


def _anywhere(name: str) -> tuple[str, str]:
    """The folder itself, and the subfolders that the archives may have been unpacked to."""
    return name, f"*/{name}"
