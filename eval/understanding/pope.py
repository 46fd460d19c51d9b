"""POPE: is there such an object in the picture? Three splits of 3,000 questions about 500 pictures of COCO val2014.

Source: Li et al. 2023 (arXiv:2305.10355) and its official script, which reads every answer as yes or no; the F1 over
all rows is VLMEvalKit's "Overall", the number that the papers report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from eval.files import find_file, read_json_lines
from eval.flags import flag
from eval.task import Need, Question, Scored
from eval.understanding.benchmark import Benchmark, UnderstandingOptions
from eval.understanding.prompts import short_answer
from eval.understanding.records import check_unique, get_field

SPLITS = ("random", "popular", "adversarial")
REQUEST = " Please answer yes or no."  # left out of the prompt
IMAGE_FOLDERS = ("", "val2014", "images", "images/val2014", "coco/val2014")  # where pictures may be below the folder


class Rates(NamedTuple):
    """In percent; None without anything to compute it from."""

    accuracy: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    yes_ratio: float | None  # share of "yes" among the answers that were given


@dataclass(frozen=True)
class PopeOptions(UnderstandingOptions):
    """Where the questions are, and the pictures."""

    images_root: str | None = flag(None, "folder with COCO val2014, where POPE's pictures are not with its questions")


def parse_yes_no(text: str) -> str:
    """How the official script reads an answer: "no" where the first sentence says No, not or no; everything else "yes".

    The sentence ends at the first full stop, commas are dropped, and words are what single spaces separate.
    """
    words = text.split(".", 1)[0].replace(",", "").split(" ")
    return "no" if {"No", "not", "no"} & set(words) else "yes"


def score(labels: Sequence[str], answers: Sequence[str | None]) -> Rates:
    """Rates of raw answers against "yes" and "no", one for one; "yes" is the positive class.

    An answer of None is missing: wrong, no "yes" and no "no". A rate whose divisor is zero is 0, as in VLMEvalKit.
    Raises ``ValueError`` for unequal lengths or another label.
    """
    labels, answers = list(labels), list(answers)
    if len(labels) != len(answers):
        raise ValueError(f"{len(labels)} labels need as many answers, got {len(answers)}")
    if set(labels) - {"yes", "no"}:
        raise ValueError(f"a label is yes or no, not {next(label for label in labels if label not in ('yes', 'no'))!r}")
    if not labels:
        return Rates(None, None, None, None, None)
    predicted = [None if answer is None else parse_yes_no(answer) for answer in answers]
    pairs = list(zip(labels, predicted, strict=True))
    given = len(predicted) - predicted.count(None)
    right = pairs.count(("yes", "yes"))
    precision, recall = _share(right, predicted.count("yes")), _share(right, labels.count("yes"))
    return Rates(
        accuracy=_share(sum(label == said for label, said in pairs), len(pairs)),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        yes_ratio=_share(predicted.count("yes"), given) if given else None,
    )


def summarize(rows: Sequence[tuple[str, str, str | None]]) -> dict[str, float | None]:
    """All scores, from (split, label, answer or None) of every question.

    "Overall" is the F1 over all rows, "mean F1" that of the splits; both are None where a split is missing.
    """
    by_split = {split: [row for row in rows if row[0] == split] for split in SPLITS}
    rates = {split: _rates(of_split) for split, of_split in by_split.items()}
    f1s = [one.f1 for one in rates.values() if one.f1 is not None]
    complete = len(f1s) == len(SPLITS)
    scores: dict[str, float | None] = {
        "Overall": _rates(rows).f1 if complete else None,
        "mean F1": sum(f1s) / len(f1s) if complete else None,
    }
    for split, one in rates.items():
        if by_split[split]:
            scores |= {f"{split} {name}": value for name, value in one._asdict().items()}
    return scores


class Pope(Benchmark):
    """POPE on COCO."""

    name: ClassVar[str] = "pope"
    title: ClassVar[str] = "POPE (F1 over all rows)"
    part: ClassVar[str] = "split"
    of_a_part: ClassVar[tuple[str, ...]] = ("missing split",)
    size = 9000  # the repository's files since October 2023; before, the random split had 2,910 questions
    options: ClassVar[type] = PopeOptions
    columns: ClassVar[Mapping[str, str]] = {"POPE": "Overall"}
    needs: ClassVar[tuple[Need, ...]] = (
        Need("questions", "https://github.com/RUCAIBox/POPE, output/coco", "1.5 MB", "--data FOLDER"),
        Need(
            "pictures", "COCO val2014 (cocodataset.org), in --data or --images-root", "6.6 GB", "--images-root FOLDER"
        ),
    )

    def read(self, folder: Path) -> list[Question]:
        """The splits that are there, random first. Raises ``ValueError`` without any."""
        questions: list[Question] = []
        for split in SPLITS:
            found = [path for suffix in ("json", "jsonl") for path in folder.glob(f"**/coco_pope_{split}.{suffix}")]
            if len(found) > 1:
                raise ValueError(f"{folder} holds the split {split} twice: {found[0]} and {found[1]}")
            for path in found:
                questions += read_split(path, split)
        if not questions:
            find_file(folder, *(f"coco_pope_{split}.json" for split in SPLITS))
        names = [str(image) for question in questions for image in question.images]
        root = find_images(folder, self.given.images_root, names)
        return [one._replace(images=(root / str(one.images[0]),)) for one in questions]

    def protocol(self) -> dict[str, Any]:
        return super().protocol() | {"reading": "POPE's script: no where it says No, not or no, else yes"}

    def score_answers(self, questions: Sequence[Question], answers: Mapping[str, str]) -> Scored:
        rows = [(one.gold["split"], one.gold["label"], answers.get(one.id)) for one in questions]
        items = {}
        for question, (_, label, answer) in zip(questions, rows, strict=True):
            said = None if answer is None else parse_yes_no(answer)
            items[question.id] = {"said": said, "label": label, "correct": said == label}
        problems = {
            "missing": [one.id for one in questions if one.id not in answers],
            "unparseable": [one.id for one in questions if not answers.get(one.id, "yes").strip()],
            "missing split": [split for split in SPLITS if split not in {row[0] for row in rows}],
        }
        return Scored("Overall", summarize(rows), items, {kind: ids for kind, ids in problems.items() if ids})


def read_split(path: Path, split: str) -> list[Question]:
    """The questions of one split's file, JSON lines in spite of its name; pictures are named, not found.

    Raises ``ValueError`` for a row without image, text or label, for another label, and for an id that occurs twice.
    """
    questions = []
    for number, row in enumerate(read_json_lines(path), 1):
        where = f"{path}, question {number}"
        if not isinstance(row, dict):
            raise ValueError(f"{where} is no object")
        name, image = f"{split}/{get_field(row, 'question_id', where, int, str)}", get_field(row, "image", where, str)
        text, label = get_field(row, "text", where, str), get_field(row, "label", where)
        if label not in ("yes", "no"):
            raise ValueError(f"{where}: a label is yes or no, not {label!r}")
        prompt = short_answer(text.replace(REQUEST, ""))
        questions.append(Question(name, (Path(image),), prompt, {"split": split, "label": label}))
    check_unique((one.id for one in questions), path)
    if not questions:
        raise ValueError(f"{path} holds no questions")
    return questions


def find_images(folder: Path, given: str | None, names: Sequence[str]) -> Path:
    """The folder that holds all pictures ``names``. Raises ``ValueError`` with the first that is missing."""
    start = folder if given is None else Path(given)
    roots = [start / below for below in IMAGE_FOLDERS]
    root = next((root for root in roots if (root / names[0]).is_file()), None)
    if root is None:
        raise ValueError(f"{names[0]} is not in {start}; give the folder with COCO val2014 as --images-root")
    missing = sorted({name for name in names if not (root / name).is_file()})
    if missing:
        raise ValueError(f"{root} lacks {len(missing)} of POPE's pictures, the first is {missing[0]}")
    return root


def _rates(rows: Sequence[tuple[str, str, str | None]]) -> Rates:
    return score([label for _, label, _ in rows], [answer for _, _, answer in rows])


def _share(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0
