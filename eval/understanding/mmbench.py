"""MMBench, development set in English: multiple choice, every question asked once for each rotation of its options.

Source: Liu et al. 2023 (arXiv:2307.06281), Sec. 4.1, CircularEval, and the layout of its files: a row of a rotation k
has the index of its question plus k million. Which option an answer means is decided by exact matching
(:mod:`eval.understanding.letters`), without a judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from eval.files import Row, decode_image, find_file, read_csv
from eval.task import Drawing, Need, Problems, Question, Record, Scored
from eval.understanding.benchmark import percent
from eval.understanding.letters import ChoiceBenchmark, ChoiceOptions, multiple_choice

STEP = 1_000_000  # between the indices of a question's rotations
LETTERS = "ABCD"
FILES = ("MMBench_DEV_EN.tsv", "mmbench_dev_20230712.tsv", "MMBench_DEV_EN_V11.tsv", "[Mm][Mm][Bb]ench_dev_en*.tsv")
SIZES = {"MMBench_DEV_EN.tsv": 4329}  # rows, the rotations of 1.0's questions, as lmms-lab/MMBench holds them too
GROUPS = ("l2-category", "category")
LONGEST_INDEX = 64  # characters; an image cell as short as that, all digits, is the index of the row with the picture


def rotate(options: Mapping[str, str], label: str, step: int) -> tuple[dict[str, str], str]:
    """The options moved on by ``step`` letters, round the end, and the letter of the right one, which moved along."""
    letters, texts = list(options), list(options.values())
    moved = {letter: texts[(place - step) % len(texts)] for place, letter in enumerate(letters)}
    return moved, letters[(letters.index(label) + step) % len(letters)]


class MMBench(ChoiceBenchmark):
    """MMBench's development set."""

    name = "mmbench"
    title = "MMBench dev (circular)"
    of_a_part = ("not every rotation was asked",)
    columns = {"MMB dev": "circular", "MMB": "circular"}
    needs = (
        Need(
            "questions and pictures",
            "MMBench_DEV_EN.tsv, linked from https://github.com/open-compass/MMBench",
            "90 MB",
            "--data FOLDER",
        ),
    )

    def __init__(self, options: ChoiceOptions) -> None:
        super().__init__(options)
        self.source: Record = {}  # which file was read

    def read(self, folder: Path) -> list[Question]:
        """All rotations of a question, then the next question."""
        path = find_file(folder, *FILES, *(f"**/{name}" for name in FILES))
        self.size = SIZES.get(path.name)
        rows = by_index(read_csv(path, "\t"))
        questions = read_questions(rows)
        self.source = {"file": path.name, "rotations": "made here" if len(questions) > len(rows) else "the file's"}
        self.facts = self.source | ChoiceBenchmark.facts
        return questions

    def place(self, item: Drawing | Question) -> tuple[str, str]:
        assert isinstance(item, Question)
        return item.gold["groups"][-1] if item.gold["groups"] else "", str(int(item.id) % STEP)

    def departures(self, judge: Record) -> list[str]:
        """The papers' is version 1.0, whose file's number of rows is known."""
        return [] if self.source.get("file") in SIZES else [f"file {self.source.get('file')}"]

    def total(self, questions: Sequence[Question], items: dict[str, Record], problems: Problems) -> Scored:
        """Accuracy in percent: "circular" (every rotation of a question right), "first pass", and circular by group.

        A question of which rotations are missing is wrong in "circular"; one whose first pass is missing, in both.
        """
        circles: dict[int, dict[int, Question]] = {}  # by index and rotation
        for one in questions:
            rotation, index = divmod(int(one.id), STEP)
            circles.setdefault(index, {})[rotation] = one
        circular, first, cut, few = [], [], [], []
        groups: dict[str, list[bool]] = {}
        for index, of in circles.items():
            gold = next(iter(of.values())).gold
            circular.append(len(of) == gold["rotations"] and all(items[one.id]["correct"] for one in of.values()))
            first.append(0 in of and items[of[0].id]["correct"])
            for group in gold["groups"]:
                groups.setdefault(group, []).append(circular[-1])
            if 0 in of and gold["rotations"] < len(gold["options"]):
                few.append(of[0].id)
            if len(of) < gold["rotations"]:
                cut.append(str(index))
        problems |= {"fewer rotations in the file than options": few} if few else {}
        problems |= {"not every rotation was asked": cut} if cut else {}
        scores = {"circular": percent(circular), "first pass": percent(first)}
        scores |= {group: percent(hits) for group, hits in sorted(groups.items())}
        return Scored("circular", scores, items, problems)


def by_index(rows: Sequence[Row]) -> dict[int, Row]:
    """A table's rows by their index. Raises ``ValueError`` for one that is no number or occurs twice."""
    table: dict[int, Row] = {}
    for row in rows:
        [index] = row.take(index=str)
        if not index.strip().isdecimal():
            raise ValueError(f"{row.where}: an index is a number, not {index!r}")
        if int(index) in table:
            raise ValueError(f"{row.where}: the index {int(index)} stands there twice")
        table[int(index)] = row
    return table


def read_questions(table: Mapping[int, Row]) -> list[Question]:
    """The questions of a file's rows, with rotations made here where the file holds the first pass only.

    Raises ``ValueError`` for a row without question, picture, answer or at least two options, an answer that is no
    option, and a rotation without its first pass.
    """
    passes: dict[int, list[int]] = {}  # index of a question -> indices of its rows
    for index in sorted(table, key=lambda index: index // STEP):
        passes.setdefault(index % STEP, []).append(index)
    circular = len(passes) < len(table)
    images: dict[str, bytes] = {}  # by cell, because the rotations' rows may repeat it
    questions = []
    for first, indices in passes.items():
        if indices[0] != first:
            raise ValueError(f"{table[indices[0]].where} is a rotation of row {first}, which is not there")
        asked = [(index, table[index], *read_options(table[index])) for index in indices]
        if not circular:
            [(_, row, options, label)] = asked
            asked = [(first + k * STEP, row, *rotate(options, label, k)) for k in range(len(options))]
        cells = asked[0][1].values
        groups = [f"{column}: {cells[column]}" for column in GROUPS if cells.get(column, "").strip()]
        for index, row, options, label in asked:
            image = find_image(table, index if circular else first, images)
            [text] = row.take(question=str)
            hint = row.values.get("hint", "")
            text = multiple_choice(text, options, hint if hint.strip() else "")
            gold = {"answer": label, "options": options, "rotations": len(asked), "groups": groups}
            questions.append(Question(str(index), (image,), text, gold))
    return questions


def read_options(row: Row) -> tuple[dict[str, str], str]:
    """A row's options by letter, without the empty ones, and the right letter. Raises ``ValueError`` for bad ones."""
    options = {letter: row.values[letter] for letter in LETTERS if row.values.get(letter, "").strip()}
    if len(options) < 2:
        raise ValueError(f"{row.where} has {len(options)} options")
    label = row.take(answer=str)[0].strip()
    if label not in options:
        raise ValueError(f"{row.where}: the answer {label!r} is none of its options {', '.join(options)}")
    return options, label


def find_image(table: Mapping[int, Row], index: int, images: dict[str, bytes]) -> bytes:
    """The picture of a row, in its own cell or in the row that the cell points at; ``images`` keeps what was decoded.

    Raises ``ValueError`` for base64 that is damaged, and for a row that is not there or points in a circle.
    """
    row, seen = index, {index}
    while True:
        cell = table[row].take(image=str)[0].strip()
        if len(cell) > LONGEST_INDEX or not cell.isdecimal():
            break
        row = int(cell)
        if row not in table or row in seen:
            raise ValueError(f"the image of {table[index].where} points at row {row}, which has none")
        seen.add(row)
    if cell not in images:
        images[cell] = decode_image(cell, table[row].where)
    return images[cell]
