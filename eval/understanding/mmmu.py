"""MMMU, validation set: 900 questions of 30 subjects, most of them multiple choice, some open, with up to 7 pictures.

Source: Yue et al. 2024 (arXiv:2311.16502); answers are read in :mod:`eval.understanding.mmmu_answers`. Pictures stand
in front of the question and ``<image 1>`` stays in its text, as in VLMEvalKit's prompts for Janus.
"""

from __future__ import annotations

import ast
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from eval.files import read_json_lines
from eval.task import Need, Question, Scored
from eval.understanding.benchmark import Benchmark
from eval.understanding.mmmu_answers import matches, parse_choice
from eval.understanding.prompts import multiple_choice
from eval.understanding.records import check_unique, get_field
from eval.understanding.tables import decode_image, read_parquet

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


def judge(gold: Mapping[str, Any], answer: str) -> tuple[bool, str | None]:
    """Whether the answer is right, and the letter read from it, None for an open question or where there is none.

    ``gold`` holds "answer" (a letter, or for open questions a text or several) and "choices" by letter, empty if open.
    """
    if not gold["choices"]:
        return matches(gold["answer"], answer), None
    said = parse_choice(answer, gold["choices"])
    return said == gold["answer"], said


def score(rows: Sequence[tuple[str, bool]]) -> dict[str, float | None]:
    """Accuracy in percent, from (subject, right) of every question: over all of them, by domain and by subject.

    Domains and subjects without questions have no score. Raises ``ValueError`` for an unknown subject.
    """
    unknown = sorted({subject for subject, _ in rows} - set(SUBJECTS))
    if unknown:
        raise ValueError(f"MMMU has no subject {unknown[0]!r}")
    hits: dict[str, list[bool]] = {name: [] for name in ("overall", *DOMAINS, *SUBJECTS)}
    for subject, right in rows:
        for name in ("overall", SUBJECTS[subject], subject):
            hits[name].append(right)
    scores = {name: 100 * sum(of) / len(of) for name, of in hits.items() if of}
    return {"overall": None} | scores


class Mmmu(Benchmark):
    """MMMU's validation set."""

    name: ClassVar[str] = "mmmu"
    title: ClassVar[str] = "MMMU val"
    part: ClassVar[str] = "subject"
    of_a_part: ClassVar[tuple[str, ...]] = ("missing subject",)
    size = 900  # Yue et al. 2024: 30 a subject
    columns: ClassVar[Mapping[str, str]] = {"MMMU": "overall"}
    max_new_tokens: ClassVar[int] = 512  # the official script also looks for options in long answers
    needs: ClassVar[tuple[Need, ...]] = (
        Need(
            "questions and pictures",
            "validation-*.parquet in every subject of the hub data set MMMU/MMMU",
            "0.4 GB; the whole data set 3.7 GB",
            "--data FOLDER",
        ),
    )

    def read(self, folder: Path) -> list[Question]:
        """The questions of all parquet files, or else of all JSON lines, called "validation…", at any depth."""
        for pattern in FILES:
            questions = [one for path in sorted(folder.glob(f"**/{pattern}")) for one in read_file(path)]
            if questions:
                check_unique((one.id for one in questions), folder)
                return questions
        raise ValueError(f"{folder} holds no questions of MMMU ({' or '.join(FILES)})")

    def protocol(self) -> dict[str, Any]:
        return super().protocol() | {"reading": READING}

    def score_answers(self, questions: Sequence[Question], answers: Mapping[str, str]) -> Scored:
        rows, items = [], {}
        problems: dict[str, list[str]] = {}
        for question in questions:
            gold, answer = question.gold, answers.get(question.id)
            right, said = (False, None) if answer is None else judge(gold, answer)
            rows.append((gold["subject"], right))
            items[question.id] = {"said": said, "label": gold["answer"], "correct": right}
            if answer is None:
                problems.setdefault("missing", []).append(question.id)
            elif gold["choices"] and said is None:
                problems.setdefault("unparseable", []).append(question.id)
        missing = [subject for subject in SUBJECTS if subject not in {subject for subject, _ in rows}]
        if missing:
            problems["missing subject"] = missing
        choices = sum(bool(one.gold["choices"]) for one in questions)
        guessed = 100 * len(problems.get("unparseable", ())) / choices if choices else None
        return Scored("overall", score(rows) | {"guesses (of multiple choice)": guessed}, items, problems)


def read_file(path: Path) -> list[Question]:
    """The questions of a parquet file or of JSON lines with the same columns.

    Pictures are contents in parquet; in JSON lines they are paths beside the file or base64 behind "base64:".
    Raises ``ValueError`` with the question for whatever is missing, of another form, or damaged.
    """
    rows = read_parquet(path) if path.suffix == ".parquet" else read_json_lines(path)
    questions = []
    for number, row in enumerate(rows, 1):
        where = f"question {number} of {path}"
        if not isinstance(row, dict):
            raise ValueError(f"{where} is no object")
        questions.append(read_row(row, path.parent, where))
    return questions


def read_row(row: Mapping[str, Any], folder: Path, where: str) -> Question:
    """One question. Raises ``ValueError`` as :func:`read_file` does."""
    name = str(get_field(row, "id", where))
    where = f"{name} ({where})"
    _, _, rest = name.partition("_")
    subject, _, _ = rest.rpartition("_")
    if subject not in SUBJECTS:
        raise ValueError(f"{where}: an id is validation_SUBJECT_NUMBER")
    kind = get_field(row, "question_type", where)
    if kind not in ("multiple-choice", "open", "short-answer"):
        raise ValueError(f"{where} has the unknown type {kind!r}")
    choices = read_choices(row.get("options"), where) if kind == "multiple-choice" else {}
    answer = get_field(row, "answer", where)
    if choices and str(answer) not in choices:
        raise ValueError(f"{where}: the answer {answer!r} is none of its options {', '.join(choices)}")
    images = [read_picture(row.get(f"image_{k}"), folder, where) for k in range(1, MOST_IMAGES + 1)]
    found = tuple(image for image in images if image is not None)
    if not found:
        raise ValueError(f"{where} has no image")
    gold = {"subject": subject, "choices": choices, "answer": answer if choices else read_answers(answer, where)}
    return Question(name, found, multiple_choice(get_field(row, "question", where, str), choices), gold)


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
