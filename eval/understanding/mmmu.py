"""MMMU, validation set: 900 questions of 30 subjects, most of them multiple choice, some open, with up to 7 pictures.

Source: Yue et al. 2024 (arXiv:2311.16502); answers are read in :mod:`eval.understanding.mmmu_answers`. Pictures stand
in front of the question and ``<image 1>`` stays in its text, as in VLMEvalKit's prompts for Janus.
"""

from __future__ import annotations

import ast
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.files import Row, decode_image, read_rows
from eval.task import Need, Problems, Question, Record, Scored
from eval.understanding.benchmark import Benchmark, Reading, credits, percent
from eval.understanding.letters import multiple_choice
from eval.understanding.mmmu_answers import matches, parse_choice

DOMAINS = {
    "Art and Design": ("Art", "Art_Theory", "Design", "Music"),
    "Business": ("Accounting", "Economics", "Finance", "Manage", "Marketing"),
    "Science": ("Biology", "Chemistry", "Geography", "Math", "Physics"),
    "Health and Medicine": (
        *("Basic_Medical_Science", "Clinical_Medicine", "Diagnostics_and_Laboratory_Medicine"),
        *("Pharmacy", "Public_Health"),
    ),
    "Humanities and Social Science": ("History", "Literature", "Psychology", "Sociology"),
    "Tech and Engineering": (
        *("Agriculture", "Architecture_and_Engineering", "Computer_Science", "Electronics"),
        *("Energy_and_Power", "Materials", "Mechanical_Engineering"),
    ),
}
SUBJECTS = {subject: domain for domain, subjects in DOMAINS.items() for subject in subjects}
READING = "the official script's, of the stripped answer ('D' and a line break is D); wrong where it would guess"
LONGEST_PATH = 255
MOST_IMAGES = 7
FILES = ("validation*.parquet", "validation*.jsonl")


class Mmmu(Benchmark):
    """MMMU's validation set."""

    name = "mmmu"
    title = "MMMU val"
    part = "subject"
    label = "answer"
    facts = {"reading": READING}
    of_a_part = ("missing subject",)
    size = 900  # Yue et al. 2024: 30 a subject
    columns = {"MMMU": "overall"}
    max_new_tokens = 512  # the official script also looks for options in long answers
    needs = (
        Need(
            "questions and pictures",
            "validation-*.parquet in every subject of the hub data set MMMU/MMMU",
            "0.4 GB; the whole data set 3.7 GB",
            "--data FOLDER",
        ),
    )

    def read(self, folder: Path) -> list[Question]:
        """The questions of all parquet files, or else of all JSON lines, called "validation…", at any depth.

        Pictures are contents in parquet; in JSON lines they are paths beside the file or base64 behind "base64:".
        """
        for pattern in FILES:
            paths = sorted(folder.glob(f"**/{pattern}"))
            questions = [read_row(row, path.parent) for path in paths for row in read_file(path)]
            if questions:
                return questions
        raise ValueError(f"{folder} holds no questions of MMMU ({' or '.join(FILES)})")

    def read_answer(self, gold: Any, answer: str) -> Reading:
        if not gold["choices"]:
            return Reading(None, matches(gold["answer"], answer))
        said = parse_choice(answer, gold["choices"])
        return Reading(said, said == gold["answer"], said is not None)

    def total(self, questions: Sequence[Question], items: dict[str, Record], problems: Problems) -> Scored:
        """Accuracy in percent: over all questions, by domain and by subject, where there are any; then the guesses."""
        hits: dict[str, list[float]] = {name: [] for name in ("overall", *DOMAINS, *SUBJECTS)}
        for one, right in zip(questions, credits(questions, items), strict=True):
            for name in ("overall", SUBJECTS[one.gold["subject"]], one.gold["subject"]):
                hits[name].append(right)
        missing = [subject for subject in SUBJECTS if not hits[subject]]
        problems |= {"missing subject": missing} if missing else {}
        choices = sum(bool(one.gold["choices"]) for one in questions)
        guessed = 100 * len(problems.get("unparseable", ())) / choices if choices else None
        scores = {"overall": None} | {name: percent(of) for name, of in hits.items() if of}
        return Scored("overall", scores | {"guesses (of multiple choice)": guessed}, items, problems)


def read_file(path: Path) -> list[Row]:
    """The rows of a parquet file, or of JSON lines with the same columns."""
    if path.suffix != ".parquet":
        return read_rows(path, lines=True)
    from janusflow.data.readers.parquet import open_parquet

    with open_parquet(path) as file:
        return [Row(f"{path}, row {number}", row) for number, row in enumerate(file.read().to_pylist(), 1)]


def read_row(row: Row, folder: Path) -> Question:
    """One question. Raises ``ValueError`` for what is missing, of another form, or damaged."""
    name, kind, text, answer = row.take(id=str, question_type=str, question=str, answer=object)
    where = f"{name} ({row.where})"
    subject = name.partition("_")[2].rpartition("_")[0]
    if subject not in SUBJECTS:
        raise ValueError(f"{where}: an id is validation_SUBJECT_NUMBER")
    if kind not in ("multiple-choice", "open", "short-answer"):
        raise ValueError(f"{where} has the unknown type {kind!r}")
    choices = read_choices(row.values.get("options"), where) if kind == "multiple-choice" else {}
    if choices and str(answer) not in choices:
        raise ValueError(f"{where}: the answer {answer!r} is none of its options {', '.join(choices)}")
    images = [read_picture(row.values.get(f"image_{k}"), folder, where) for k in range(1, MOST_IMAGES + 1)]
    found = tuple(image for image in images if image is not None)
    if not found:
        raise ValueError(f"{where} has no image")
    gold = {"subject": subject, "choices": choices, "answer": answer if choices else read_answers(answer, where)}
    return Question(name, found, multiple_choice(text, choices), gold)


def read_choices(value: Any, where: str) -> dict[str, str]:
    """Options by letter, from a list or the text of a Python list. Raises ``ValueError`` for anything else."""
    options = _python_list(value) if isinstance(value, str) else value
    if not isinstance(options, list) or not 2 <= len(options) <= len(string.ascii_uppercase):
        raise ValueError(f"{where}: options are a list of two to 26 texts, not {value!r}")
    return dict(zip(string.ascii_uppercase, map(str, options), strict=False))


def read_answers(value: Any, where: str) -> list[str]:
    """The accepted answers of an open question: one text, a list of texts, or the text of a Python list of texts.

    Any other text in brackets, such as an interval, is an answer itself. Raises ``ValueError`` for anything else.
    """
    listed = _python_list(value) if isinstance(value, str) else value
    answers = listed if isinstance(listed, list) and all(isinstance(one, str) for one in listed) else [value]
    if not answers or not all(isinstance(one, str) and one.strip() for one in answers):
        raise ValueError(f"{where}: an open question's answer is text, not {value!r}")
    return answers


def read_picture(value: Any, folder: Path, where: str) -> Path | bytes | None:
    """One picture column; None where it is empty. Raises ``ValueError`` where it cannot be had."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if not value:
        return None
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{where}: an image is a file's content or path, not {type(value).__name__}")
    if value.startswith("base64:"):
        return decode_image(value.removeprefix("base64:"), where)
    if len(value) > LONGEST_PATH:
        raise ValueError(f"{where}: an image is a path, or base64: and its content, not {value[:40]!r} …")
    path = folder / value
    if not path.is_file():
        raise ValueError(f"{where}: there is no image {path}")
    return path


def _python_list(text: str) -> Any:
    """The list that a text writes down as Python does; None where it is none."""
    if not text.strip().startswith("["):
        return None
    try:
        return ast.literal_eval(text.strip())
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return None
