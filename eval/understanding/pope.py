"""POPE: is there such an object in the picture? Three splits of 3,000 questions about 500 pictures of COCO val2014.

Source: Li et al. 2023 (arXiv:2305.10355) and its official script, which reads every answer as yes or no; the F1 over
all rows is VLMEvalKit's "Overall", the number that the papers report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from eval.files import find_file, read_rows
from eval.task import Need, Problems, Question, Record, Scored
from eval.understanding.benchmark import Asked, Benchmark, Reading, UnderstandingOptions, short_answer, with_images
from janusflow.options import option

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

    images_root: str | None = option(None, "folder with COCO val2014, where POPE's pictures are not with its questions")


def parse_yes_no(text: str) -> str:
    """How the official script reads an answer: "no" where the first sentence says No, not or no; everything else "yes".

    The sentence ends at the first full stop, commas are dropped, and words are what single spaces separate.
    """
    words = text.split(".", 1)[0].replace(",", "").split(" ")
    return "no" if {"No", "not", "no"} & set(words) else "yes"


def rates(pairs: Sequence[tuple[str, str | None]]) -> Rates:
    """Rates of labels, "yes" or "no", and what answers say; "yes" is the positive class.

    None is no answer: wrong, no "yes" and no "no". A rate whose divisor is zero is 0, as in VLMEvalKit.
    """
    if not pairs:
        return Rates(None, None, None, None, None)
    labels, said = zip(*pairs, strict=True)
    given = len(said) - said.count(None)
    right = pairs.count(("yes", "yes"))
    precision, recall = _share(right, said.count("yes")), _share(right, labels.count("yes"))
    return Rates(
        accuracy=_share(sum(label == one for label, one in pairs), len(pairs)),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        yes_ratio=_share(said.count("yes"), given) if given else None,
    )


class Pope(Benchmark):
    """POPE on COCO."""

    name = "pope"
    title = "POPE (F1 over all rows)"
    part = "split"
    label = "label"
    of_a_part = ("missing split",)
    size = 9000  # the repository's files since October 2023; before, the random split had 2,910 questions
    options: ClassVar[type] = PopeOptions
    columns = {"POPE": "Overall"}
    facts = {"reading": "POPE's script: no where it says No, not or no, else yes"}
    needs = (
        Need("questions", "https://github.com/RUCAIBox/POPE, output/coco", "1.5 MB", "--data FOLDER"),
        Need(
            "pictures", "COCO val2014 (cocodataset.org), in --data or --images-root", "6.6 GB", "--images-root FOLDER"
        ),
    )

    def read(self, folder: Path) -> list[Question]:
        """The splits that are there, random first: JSON lines, whatever they are called."""
        asked = []
        for split in SPLITS:
            found = [path for suffix in ("json", "jsonl") for path in folder.glob(f"**/coco_pope_{split}.{suffix}")]
            if len(found) > 1:
                raise ValueError(f"{folder} holds the split {split} twice: {found[0]} and {found[1]}")
            for row in read_rows(found[0], lines=True) if found else ():
                key, image, text, label = row.take(question_id=(int, str), image=str, text=str, label=str)
                if label not in ("yes", "no"):
                    raise ValueError(f"{row.where}: a label is yes or no, not {label!r}")
                prompt = short_answer(text.replace(REQUEST, ""))
                asked.append(Asked(f"{split}/{key}", image, prompt, {"split": split, "label": label}))
        if not asked:
            find_file(folder, *(f"coco_pope_{split}.json" for split in SPLITS))
        try:
            return with_images(Path(self.given.images_root or folder), IMAGE_FOLDERS, asked)
        except ValueError as error:
            raise ValueError(f"{error}; give the folder with COCO val2014 as --images-root") from error

    def read_answer(self, gold: Any, answer: str) -> Reading:
        said = parse_yes_no(answer)
        return Reading(said, said == gold["label"], bool(answer.strip()))

    def total(self, questions: Sequence[Question], items: dict[str, Record], problems: Problems) -> Scored:
        """ "Overall", the F1 over all rows, "mean F1", that of the splits, and all rates of each split.

        The first two are None where a split is missing.
        """
        rows: dict[str, list[tuple[str, str | None]]] = {split: [] for split in SPLITS}
        for one in questions:
            rows[one.gold["split"]].append((one.gold["label"], items[one.id]["said"]))
        found = {split: rates(pairs) for split, pairs in rows.items() if pairs}
        missing = [split for split in SPLITS if split not in found]
        scores: dict[str, float | None] = {"Overall": None, "mean F1": None}
        if missing:
            problems["missing split"] = missing
        else:
            overall = rates([pair for pairs in rows.values() for pair in pairs])
            scores = {"Overall": overall.f1, "mean F1": sum(one.f1 or 0.0 for one in found.values()) / len(found)}
        for split, one_split in found.items():
            scores |= {f"{split} {name}": value for name, value in one_split._asdict().items()}
        return Scored("Overall", scores, items, problems)


def _share(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0
