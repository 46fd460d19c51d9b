"""MMBench, development set in English: multiple choice, every question asked once for each rotation of its options.

Source: Liu et al. 2023 (arXiv:2307.06281), Sec. 4.1, CircularEval, and the layout of its files: a row of a rotation k
has the index of its question plus k million. Which option an answer means is decided by exact matching
(:mod:`eval.understanding.letters`), without a judge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from eval.files import find_file
from eval.task import Drawing, Need, Question, Record, Scored
from eval.understanding.accuracy import percent
from eval.understanding.benchmark import Benchmark, ChoiceOptions
from eval.understanding.letters import match_option
from eval.understanding.prompts import multiple_choice
from eval.understanding.records import check_unique, get_field
from eval.understanding.tables import decode_image, read_tsv

STEP = 1_000_000  # between the indices of a question's rotations
LETTERS = "ABCD"
FILES = ("MMBench_DEV_EN.tsv", "mmbench_dev_20230712.tsv", "MMBench_DEV_EN_V11.tsv", "[Mm][Mm][Bb]ench_dev_en*.tsv")
SIZES = {"MMBench_DEV_EN.tsv": 4329}  # rows, the rotations of 1.0's questions, as lmms-lab/MMBench holds them too
GROUPS = ("l2-category", "category")
LONGEST_INDEX = 64  # characters; an image cell as short as that, all digits, is the index of the row with the picture


class Row(NamedTuple):
    """One rotation of a question, and what was answered."""

    question: int  # its index, below one million
    rotation: int  # 0: the first pass
    rotations: int  # how many the question has
    label: str  # the right letter
    said: str | None  # the letter in the answer; None where there is none
    groups: tuple[str, ...] = ()  # names of the scores that the question counts in besides the overall ones


def score(rows: Sequence[Row]) -> dict[str, float | None]:
    """Accuracy in percent: "circular" (every rotation of a question right), "first pass", and circular by group.

    A question of which rotations are missing is wrong in "circular"; one whose first pass is missing, in both.
    Raises ``ValueError`` for a rotation that occurs twice.
    """
    questions: dict[int, dict[int, Row]] = {}
    for row in rows:
        of_question = questions.setdefault(row.question, {})
        if row.rotation in of_question:
            raise ValueError(f"rotation {row.rotation} of question {row.question} occurs twice")
        of_question[row.rotation] = row
    circular = {
        index: len(of) == next(iter(of.values())).rotations and all(row.said == row.label for row in of.values())
        for index, of in questions.items()
    }
    first = [0 in of and of[0].said == of[0].label for of in questions.values()]
    groups: dict[str, list[bool]] = {}
    for index, of_question in questions.items():
        for group in next(iter(of_question.values())).groups:
            groups.setdefault(group, []).append(circular[index])
    scores = {"circular": percent(list(circular.values())), "first pass": percent(first)}
    return scores | {group: percent(hits) for group, hits in sorted(groups.items())}


def rotate(options: Mapping[str, str], label: str, step: int) -> tuple[dict[str, str], str]:
    """The options moved on by ``step`` letters, round the end, and the letter of the right one, which moved along."""
    letters, texts = list(options), list(options.values())
    moved = {letter: texts[(place - step) % len(texts)] for place, letter in enumerate(letters)}
    return moved, letters[(letters.index(label) + step) % len(letters)]


class MMBench(Benchmark):
    """MMBench's development set."""

    name: ClassVar[str] = "mmbench"
    title: ClassVar[str] = "MMBench dev (circular)"
    options: ClassVar[type] = ChoiceOptions
    of_a_part: ClassVar[tuple[str, ...]] = ("not every rotation was asked",)
    columns: ClassVar[Mapping[str, str]] = {"MMB dev": "circular", "MMB": "circular"}
    needs: ClassVar[tuple[Need, ...]] = (
        Need(
            "questions and pictures",
            "MMBench_DEV_EN.tsv, linked from https://github.com/open-compass/MMBench",
            "90 MB",
            "--data FOLDER",
        ),
    )

    given: ChoiceOptions

    def __init__(self, options: ChoiceOptions) -> None:
        super().__init__(options)
        self.source: dict[str, Any] = {}  # which file was read

    def read(self, folder: Path) -> list[Question]:
        """All rotations of a question, then the next question. Raises ``ValueError`` as :func:`read_questions` does."""
        path = find_file(folder, *FILES, *(f"**/{name}" for name in FILES))
        self.size = SIZES.get(path.name)
        rows = read_tsv(path)
        questions = read_questions(rows, str(path))
        self.source = {"file": path.name, "rotations": "made here" if len(questions) > len(rows) else "the file's"}
        return questions

    def protocol(self) -> dict[str, Any]:
        return super().protocol() | self.source | {"reading": "VLMEvalKit's exact matching; no judge"}

    def place(self, item: Drawing | Question) -> tuple[str, str]:
        assert isinstance(item, Question)
        return item.gold["groups"][-1] if item.gold["groups"] else "", str(int(item.id) % STEP)

    def departures(self, judge: Record) -> list[str]:
        """The papers' is version 1.0, whose file's number of rows is known."""
        return [] if self.source.get("file") in SIZES else [f"file {self.source.get('file')}"]

    def score_answers(self, questions: Sequence[Question], answers: Mapping[str, str]) -> Scored:
        rows, items = [], {}
        problems: dict[str, list[str]] = {}
        for question in questions:
            gold, answer = question.gold, answers.get(question.id)
            said = None if answer is None else match_option(answer, gold["options"], self.given.matching)
            rotation, index = divmod(int(question.id), STEP)
            rows.append(Row(index, rotation, gold["rotations"], gold["answer"], said, tuple(gold["groups"])))
            items[question.id] = {"said": said, "label": gold["answer"], "correct": said == gold["answer"]}
            if said is None:
                kind = "missing" if answer is None else "unparseable"
                problems.setdefault(kind, []).append(question.id)
            if rotation == 0 and gold["rotations"] < len(gold["options"]):
                problems.setdefault("fewer rotations in the file than options", []).append(question.id)
        asked = Counter(row.question for row in rows)
        cut = list(dict.fromkeys(str(row.question) for row in rows if asked[row.question] < row.rotations))
        if cut:
            problems["not every rotation was asked"] = cut
        return Scored("circular", score(rows), items, problems)


def read_questions(rows: Sequence[Mapping[str, str]], where: str) -> list[Question]:
    """The questions of a file's rows, with rotations made here where the file holds the first pass only.

    Raises ``ValueError`` for no rows, an index that is no number or occurs twice, a row without question, picture,
    answer or at least two options, an answer that is no option, and a rotation without its first pass.
    """
    table = _by_index(rows, where)
    passes: dict[int, list[int]] = {}  # index of a question -> indices of its rows
    for index in sorted(table, key=lambda index: index // STEP):
        passes.setdefault(index % STEP, []).append(index)
    circular = len(passes) < len(table)
    images: dict[str, bytes] = {}  # by cell, because the rotations' rows may repeat it
    questions = []
    for first, indices in passes.items():
        if indices[0] != first:
            raise ValueError(f"{where}: row {indices[0]} is a rotation of row {first}, which is not there")
        asked = [(index, table[index], *read_options(table[index], f"row {index} of {where}")) for index in indices]
        if not circular:
            (_, row, options, label) = asked[0]
            asked = [(first + k * STEP, row, *rotate(options, label, k)) for k in range(len(options))]
        groups = [f"{column}: {asked[0][1][column]}" for column in GROUPS if asked[0][1].get(column, "").strip()]
        for index, row, options, label in asked:
            image = find_image(table, index if circular else first, images, where)
            text = multiple_choice(get_field(row, "question", f"row {index} of {where}"), options, _hint(row))
            gold = {"answer": label, "options": options, "rotations": len(asked), "groups": groups}
            questions.append(Question(str(index), (image,), text, gold))
    return questions


def read_options(row: Mapping[str, str], where: str) -> tuple[dict[str, str], str]:
    """A row's options by letter, without the empty ones, and the right letter. Raises ``ValueError`` for bad ones."""
    options = {letter: row[letter] for letter in LETTERS if row.get(letter, "").strip()}
    if len(options) < 2:
        raise ValueError(f"{where} has {len(options)} options")
    label = get_field(row, "answer", where).strip()
    if label not in options:
        raise ValueError(f"{where}: the answer {label!r} is none of its options {', '.join(options)}")
    return options, label


def find_image(table: Mapping[int, Mapping[str, str]], index: int, images: dict[str, bytes], where: str) -> bytes:
    """The picture of a row, in its own cell or in the row that the cell points at; ``images`` keeps what was decoded.

    Raises ``ValueError`` for base64 that is damaged, and for a row that is not there or points in a circle.
    """
    row, seen = index, {index}
    while True:
        cell = get_field(table[row], "image", f"row {row} of {where}").strip()
        if len(cell) > LONGEST_INDEX or not cell.isdecimal():
            break
        row = int(cell)
        if row not in table or row in seen:
            raise ValueError(f"the image of row {index} of {where} points at row {row}, which has none")
        seen.add(row)
    if cell not in images:
        images[cell] = decode_image(cell, f"row {row} of {where}")
    return images[cell]


def _by_index(rows: Sequence[Mapping[str, str]], where: str) -> dict[int, Mapping[str, str]]:
    if not rows:
        raise ValueError(f"{where} holds no questions")
    indices = [get_field(row, "index", f"row {number} of {where}").strip() for number, row in enumerate(rows, 1)]
    wrong = next((index for index in indices if not index.isdecimal()), None)
    if wrong is not None:
        raise ValueError(f"{where}: an index is a number, not {wrong!r}")
    check_unique((str(int(index)) for index in indices), f"{where}: the column index")
    return dict(zip(map(int, indices), rows, strict=True))


def _hint(row: Mapping[str, str]) -> str:
    return row["hint"] if row.get("hint", "").strip() else ""
