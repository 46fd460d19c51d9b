"""MME: two yes/no questions about every picture, 14 subtasks, 2,374 questions.

Source: Fu et al. 2023 (arXiv:2306.13394), Sec. 2, and the behaviour of its official script.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.files import read_text
from eval.task import Drawing, Need, Problems, Question, Record, Scored
from eval.understanding.benchmark import Benchmark, Reading, credits, percent, short_answer

PERCEPTION = (
    *("existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork"),
    "OCR",
)
COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")
SUBTASKS = PERCEPTION + COGNITION
LOOKED_AT = 4  # characters of an answer
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def parse_yes_no(text: str) -> str | None:
    """ "yes" or "no", whichever is in the first four characters, in any case; "yes" before "no"; None for neither."""
    start = text.lower()[:LOOKED_AT]
    return next((word for word in ("yes", "no") if word in start), None)


def score_subtask(images: Mapping[str, Sequence[float]]) -> tuple[float, float, float]:
    """(accuracy, accuracy+, their sum), the first two in percent, from what is right about every picture.

    Accuracy counts questions; accuracy+ counts pictures, of which both questions must be right. A picture without
    exactly two questions is never right.
    """
    accuracy = percent([right for questions in images.values() for right in questions]) or 0.0
    plus = percent([len(questions) == 2 and all(questions) for questions in images.values()]) or 0.0
    return accuracy, plus, accuracy + plus


class Mme(Benchmark):
    """MME."""

    name = "mme"
    title = "MME perception"
    label = "label"
    of_a_part = ("not two questions about a picture", "missing subtask")
    overview = ("cognition",)
    columns = {"MME-P": "perception"}
    size = 2374  # of the release: 2,114 on perception, 260 on cognition
    facts = {"reading": "yes or no in the first four characters"}
    needs = (
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

    def place(self, item: Drawing | Question) -> tuple[str, str]:
        group, picture, _ = item.id.split("/")
        return group, picture

    def read_answer(self, gold: Any, answer: str) -> Reading:
        said = parse_yes_no(answer)
        return Reading(said, said == gold["label"], said is not None)

    def total(self, questions: Sequence[Question], items: dict[str, Record], problems: Problems) -> Scored:
        """Perception (the sum of ten), cognition (of four), both None where a subtask is missing, and each subtask."""
        images: dict[str, dict[str, list[float]]] = {}
        for one, right in zip(questions, credits(questions, items), strict=True):
            images.setdefault(one.gold["subtask"], {}).setdefault(one.gold["image"], []).append(right)
        odd = [f"{subtask}/{image}" for subtask in images for image, of in images[subtask].items() if len(of) != 2]
        missing = [subtask for subtask in SUBTASKS if subtask not in images]
        problems |= {"not two questions about a picture": odd} if odd else {}
        problems |= {"missing subtask": missing} if missing else {}
        found = {subtask: score_subtask(images[subtask]) for subtask in SUBTASKS if subtask in images}
        scores: dict[str, float | None] = {
            name: sum(found[subtask][2] for subtask in group) if found.keys() >= set(group) else None
            for name, group in (("perception", PERCEPTION), ("cognition", COGNITION))
        }
        for subtask, (accuracy, plus, both) in found.items():
            scores |= {subtask: both, f"{subtask} accuracy": accuracy, f"{subtask} accuracy+": plus}
        return Scored("perception", scores, items, problems)


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
    if not texts:
        raise ValueError(f"{folder} holds no questions (*.txt)")
    images: dict[str, Path] = {}
    for path in [*folder.glob("*"), *folder.glob("images/*")]:
        if path.suffix.lower() in SUFFIXES and images.setdefault(path.stem, path) != path:
            raise ValueError(f"{folder} holds two pictures called {path.stem}")
    questions = []
    for path in texts:
        if path.stem not in images:
            raise ValueError(f"{path} has no picture beside it")
        for number, (text, label) in enumerate(read_lines(path), 1):
            gold = {"subtask": folder.name, "image": path.stem, "label": label}
            name = f"{folder.name}/{path.stem}/{number}"
            questions.append(Question(name, (images[path.stem],), short_answer(text), gold))
    return questions


def read_lines(path: Path) -> list[tuple[str, str]]:
    """(question, "yes" or "no") of every line. Raises ``ValueError`` with the line's number."""
    found = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        question, tab, label = line.strip().rpartition("\t")
        if not tab or not question.strip() or label.strip().lower() not in ("yes", "no"):
            raise ValueError(f"{path}, line {number} is not a question, a tab and Yes or No: {line.strip()!r}")
        found.append((question.strip(), label.strip().lower()))
    if not found:
        raise ValueError(f"{path} holds no questions")
    return found
