"""MME: two yes/no questions about every picture, 14 subtasks, 2,374 questions.

Source: Fu et al. 2023 (arXiv:2306.13394), Sec. 2, and the behaviour of its official script.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from eval.task import Drawing, Need, Question, Scored
from eval.understanding.benchmark import Benchmark
from eval.understanding.prompts import short_answer
from eval.understanding.records import check_unique

PERCEPTION = (
    *("existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork"),
    "OCR",
)
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")
SUBTASKS = PERCEPTION + COGNITION
LOOKED_AT = 4  # characters of an answer
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


class Row(NamedTuple):
    """A question and its answer."""

    subtask: str
    image: str  # unique in the subtask
    label: str  # "yes" or "no"
    answer: str | None  # None: missing


def parse_yes_no(text: str) -> str | None:
    """ "yes" or "no", whichever is in the first four characters, in any case; "yes" before "no"; None for neither."""
    start = text.lower()[:LOOKED_AT]
    return next((word for word in ("yes", "no") if word in start), None)


def score_subtask(images: Mapping[str, Sequence[bool]]) -> tuple[float, float, float]:
    """(accuracy, accuracy+, their sum), the first two in percent, from what is right about every picture.

    Accuracy counts questions; accuracy+ counts pictures, of which both questions must be right. A picture without
    exactly two questions is never right. Raises ``ValueError`` for no pictures.
    """
    results = [right for questions in images.values() for right in questions]
    if not results:
        raise ValueError("a subtask without questions has no score")
    accuracy = 100 * sum(results) / len(results)
    plus = 100 * sum(len(questions) == 2 and all(questions) for questions in images.values()) / len(images)
    return accuracy, plus, accuracy + plus


def score(rows: Iterable[Row]) -> dict[str, float | None]:
    """All scores: perception (the sum of ten), cognition (of four), both None where a subtask is missing, and each.

    An answer that is missing or neither yes nor no is wrong. Raises ``ValueError`` for an unknown subtask or label.
    """
    images: dict[str, dict[str, list[bool]]] = {}
    for row in rows:
        if row.subtask not in SUBTASKS or row.label not in ("yes", "no"):
            raise ValueError(f"MME has no subtask {row.subtask!r} with the label {row.label!r}")
        right = row.answer is not None and parse_yes_no(row.answer) == row.label
        images.setdefault(row.subtask, {}).setdefault(row.image, []).append(right)
    found = {subtask: score_subtask(images[subtask]) for subtask in SUBTASKS if subtask in images}
    scores: dict[str, float | None] = {
        name: sum(found[subtask][2] for subtask in group) if all(subtask in found for subtask in group) else None
        for name, group in (("perception", PERCEPTION), ("cognition", COGNITION))
    }
    for subtask, (accuracy, plus, total) in found.items():
        scores |= {subtask: total, f"{subtask} accuracy": accuracy, f"{subtask} accuracy+": plus}
    return scores


class Mme(Benchmark):
    """MME."""

    name: ClassVar[str] = "mme"
    title: ClassVar[str] = "MME perception"
    of_a_part: ClassVar[tuple[str, ...]] = ("not two questions about a picture", "missing subtask")
    overview: ClassVar[tuple[str, ...]] = ("cognition",)
    columns: ClassVar[Mapping[str, str]] = {"MME-P": "perception"}
    size = 2374  # of the release: 2,114 on perception, 260 on cognition
    needs: ClassVar[tuple[Need, ...]] = (
        Need(
            "questions and pictures",
            "MME_Benchmark_release_version.zip of https://github.com/BradyFU/Awesome-Multimodal-Large-Language-Models "
            "(branch Evaluation) or of the hub data set darkyarding/MME, unpacked",
            "0.9 GB",
            "--data FOLDER",
        ),
    )

    def read(self, folder: Path) -> list[Question]:
        """The subtasks that are there, perception first. Raises ``ValueError`` without any."""
        base = find_subtasks(folder)
        return [one for subtask in SUBTASKS if (base / subtask).is_dir() for one in read_subtask(base / subtask)]

    def protocol(self) -> dict[str, Any]:
        return super().protocol() | {"reading": "yes or no in the first four characters"}

    def place(self, item: Drawing | Question) -> tuple[str, str]:
        group, picture, _ = item.id.split("/")
        return group, picture

    def score_answers(self, questions: Sequence[Question], answers: Mapping[str, str]) -> Scored:
        rows = [
            Row(one.gold["subtask"], one.gold["image"], one.gold["label"], answers.get(one.id)) for one in questions
        ]
        items: dict[str, dict[str, Any]] = {}
        problems: dict[str, list[str]] = {}
        asked: dict[str, int] = {}
        for question, row in zip(questions, rows, strict=True):
            said = None if row.answer is None else parse_yes_no(row.answer)
            items[question.id] = {"said": said, "label": row.label, "correct": said == row.label}
            if said is None:
                kind = "missing" if row.answer is None else "unparseable"
                problems.setdefault(kind, []).append(question.id)
            image = f"{row.subtask}/{row.image}"
            asked[image] = asked.get(image, 0) + 1
        found = {row.subtask for row in rows}
        incomplete = [image for image, number in asked.items() if number != 2]
        missing = [subtask for subtask in SUBTASKS if subtask not in found]
        if incomplete:
            problems["not two questions about a picture"] = incomplete
        if missing:
            problems["missing subtask"] = missing
        return Scored("perception", score(rows), items, problems)


def find_subtasks(folder: Path) -> Path:
    """The folder, at any depth, with most of MME's subtasks in it. Raises ``ValueError`` where none has any."""
    counts: dict[Path, int] = {}
    for subtask in SUBTASKS:
        for path in folder.glob(f"**/{subtask}"):
            if path.is_dir():
                counts[path.parent] = counts.get(path.parent, 0) + 1
    if not counts:
        raise ValueError(f"{folder} holds none of MME's subtasks, such as a folder {SUBTASKS[0]} (unpack the archive)")
    return max(sorted(counts), key=counts.__getitem__)


def read_subtask(folder: Path) -> list[Question]:
    """The questions of one subtask, whose files lie together or in images/ and questions_answers_YN/.

    Raises ``ValueError`` for a line that is not question, tab, Yes or No, and for a picture that is missing or double.
    """
    texts = sorted([*folder.glob("*.txt"), *folder.glob("questions_answers_YN/*.txt")])
    images: dict[str, Path] = {}
    for path in sorted([*folder.glob("*"), *folder.glob("images/*")]):
        if path.suffix.lower() in SUFFIXES:
            if path.stem in images:
                raise ValueError(f"{folder} holds two pictures called {path.stem}")
            images[path.stem] = path
    if not texts:
        raise ValueError(f"{folder} holds no questions (*.txt)")
    questions = []
    for path in texts:
        if path.stem not in images:
            raise ValueError(f"{path} has no picture beside it")
        for number, (text, label) in enumerate(read_lines(path), 1):
            gold = {"subtask": folder.name, "image": path.stem, "label": label}
            name = f"{folder.name}/{path.stem}/{number}"
            questions.append(Question(name, (images[path.stem],), short_answer(text), gold))
    check_unique((one.id for one in questions), folder)
    return questions


def read_lines(path: Path) -> list[tuple[str, str]]:
    """(question, "yes" or "no") of every line. Raises ``ValueError`` with the line's number."""
    found = []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        question, tab, label = line.strip().rpartition("\t")
        if not tab or not question.strip() or label.strip().lower() not in ("yes", "no"):
            raise ValueError(f"{path}, line {number} is not a question, a tab and Yes or No: {line.strip()!r}")
        found.append((question.strip(), label.strip().lower()))
    if not found:
        raise ValueError(f"{path} holds no questions")
    return found
