"""What a benchmark is to the rest: pictures it wants drawn, questions it wants answered, and how it scores them.

``eval/runner.py`` draws and answers, stores, resumes and shards; a task only says what, and judges. A task's numbers
come from pure functions in its own module, which need neither a model nor a file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image

from janusflow.pictures import read_image

Record = dict[str, Any]  # JSON data
Problems = dict[str, list[str]]  # what is wrong -> the items it is wrong with, or a line each


MISSING = "missing"  # the problem of a picture or an answer that is not there


def first_part(name: str) -> str:
    """Of an id or a path that has several parts, the prompt's."""
    return name.partition("/")[0]


def joined(*several: Problems) -> Problems:
    """Problems as one; an item stands once under a kind, with the first line that names it."""
    found: dict[str, dict[str, str]] = {}
    for problems in several:
        for kind, lines in problems.items():
            for line in lines:
                found.setdefault(kind, {}).setdefault(line.split(": ")[0], line)
    return {kind: list(lines.values()) for kind, lines in found.items() if lines}


class Need(NamedTuple):
    """Something that a task needs and that is not installed with it."""

    what: str  # such as "questions and images"
    where: str  # where it is had: a hub id or a page
    size: str  # of the download, such as "1.2 GB"
    flag: str  # how a local copy is given, such as "--data FOLDER"


class Drawing(NamedTuple):
    """One picture file that a task wants drawn."""

    id: str  # unique in the task
    prompt: str
    seeds: tuple[int, ...]  # one: a picture; four: a 2 x 2 grid of pictures, row by row
    path: str  # of the file in the benchmark's own layout, below the folder of pictures
    images: tuple[bytes, ...] = ()  # contents of the picture file that the prompt shows, if it shows one

    def read_images(self) -> list[Image.Image]:
        """What the prompt shows. Raises ``ValueError`` where it is damaged."""
        from io import BytesIO

        return [read_image(BytesIO(image), self.id) for image in self.images]


class Question(NamedTuple):
    """One question about pictures."""

    id: str  # unique in the task
    images: tuple[Path | bytes, ...]  # files, or the files' contents
    text: str  # what the model is asked, word for word
    gold: Any  # JSON data: what the scorer needs to know

    def read_images(self) -> list[Image.Image]:
        """The pictures. Raises ``ValueError`` where one is missing or damaged."""
        from io import BytesIO

        return [
            read_image(BytesIO(image), self.id) if isinstance(image, bytes) else read_image(image)
            for image in self.images
        ]


@dataclass
class Work:
    """What a task asks of a model."""

    drawings: Sequence[Drawing] = ()
    questions: Sequence[Question] = ()
    problems: Problems = field(default_factory=dict)  # of the benchmark's own files, or of a folder of pictures
    protocol: Record = field(default_factory=dict)  # facts about them, such as a file's hash

    def __len__(self) -> int:
        return len(self.drawings) + len(self.questions)

    def check(self) -> Work:
        """Self. Raises ``ValueError`` for an id or a path that occurs twice, or for no work at all."""
        names = [one.id for one in self.drawings] + [one.id for one in self.questions]
        paths = [one.path for one in self.drawings]
        for what, values in (("id", names), ("path", paths)):
            if len(set(values)) != len(values):
                twice = next(value for value in values if values.count(value) > 1)
                raise ValueError(f"two items have the {what} {twice!r}")
        if not names:
            raise ValueError("there is nothing to draw or to answer")
        return self

    def only(self, wanted: Work) -> Work:
        """The part of this work that ``wanted`` is; where the names of pictures mean nothing, as many of them."""
        ids = {one.id for one in wanted.drawings}
        named = [one for one in self.drawings if one.id in ids]
        prompts = {first_part(one) for one in ids}
        missing = [line for line in self.problems.get(MISSING, ()) if first_part(line) in prompts]
        problems = {**self.problems, MISSING: missing}  # not what other prompts lack
        drawings = named or self.drawings[: len(ids)]
        return replace(self, drawings=drawings, questions=wanted.questions, problems=problems)


class Judged(NamedTuple):
    """What a judge says about one picture."""

    record: Record
    features: np.ndarray | None = None  # (C,) float32, where the score needs them


class Judge(ABC):
    """Looks at pictures: a detector, a feature extractor, a VQA model. Held only while pictures are judged."""

    def prepare(self, images: Sequence[Image.Image]) -> Any:
        """What :meth:`judge` takes of a batch's pictures, in a worker process: by default the pictures themselves."""
        return images

    @abstractmethod
    def judge(self, drawings: Sequence[Drawing], images: Any) -> list[Judged]:
        """A verdict on each picture, which must not depend on the other pictures of the batch."""


class Scored(NamedTuple):
    """A task's result."""

    headline: str  # the name of the main score
    scores: dict[str, float | None]  # by name, in the order of a table; None where it cannot be computed
    items: dict[str, Record]  # by id: what the scorer made of every item
    problems: Problems = {}
    details: Record = {}  # anything else worth keeping


@dataclass(frozen=True)
class NoOptions:
    """Of a task that has no flags of its own."""


class Task(ABC):
    """A benchmark. ``options`` is the dataclass of its own flags, whose fields hold their help texts as metadata."""

    name: ClassVar[str]  # on the command line
    title: ClassVar[str]  # what the score is called
    options: ClassVar[type] = NoOptions
    draws: ClassVar[bool] = True  # whether there are pictures to draw
    asks: ClassVar[bool] = False  # whether there are questions to answer
    needs: ClassVar[tuple[Need, ...]] = ()
    tolerated: ClassVar[tuple[str, ...]] = ("unparseable",)  # problems that count as wrong and leave a score complete
    of_a_part: ClassVar[tuple[str, ...]] = ()  # problems that the first items of a benchmark have by themselves
    columns: ClassVar[Mapping[str, str]] = {}  # "COLUMN" or "TITLE: COLUMN" of pages/paper_numbers.yaml -> our score;
    # eval.result.title_and_columns says when it stands there
    overview: ClassVar[tuple[str, ...]] = ()  # scores beside the headline where a result is a few lines
    max_new_tokens: ClassVar[int] = 48  # of an answer
    system_prompt: ClassVar[str | None] = None  # of the conversations; None: the model's own

    picture_size: tuple[int, int] | None = None  # pixels of what is drawn, height and width; None: the model's square
    size: int | None = None  # official number of pictures or questions; None: there is none, or scores name it
    device: str = "cpu"  # where the judge and the scores are computed; the runner sets it
    workers: int | None = None  # processes that read pictures (default: one a core); likewise

    def __init__(self, options: Any) -> None:
        """Raises ``ValueError`` for impossible options."""
        self.given = options

    @abstractmethod
    def prepare(self, limit: int | None = None) -> Work:
        """Everything to draw and to answer, or ``limit`` items of it, evenly from the benchmark's parts.

        Raises ``ValueError`` where the benchmark's files are missing or damaged.
        """

    def place(self, item: Drawing | Question) -> tuple[str, str]:
        """The item's part of the benchmark, such as a category ("": it has none), and its unit (see ``evenly``)."""
        return "", item.id

    def find_pictures(self, folder: Path, work: Work) -> Work:
        """``work`` with the pictures that lie in somebody's ``folder``, in the benchmark's layout, as its drawings.

        Pictures that are missing stay among the drawings, and are named when they are judged.
        """
        return work

    def write_layout(self, folder: Path, work: Work) -> None:
        """Write what the benchmark's own layout has beside the pictures, such as their prompts; by default nothing."""
        return None

    def export(self, folder: Path, work: Work, answers: Mapping[str, str]) -> list[Path]:
        """Write files that others read, such as a server's or a judge's input, into ``folder``; by default none."""
        return []

    def codec_figures(self, noted: Mapping[str, Record]) -> Record:
        """Of what is ``noted`` of a codec's own reconstruction what concerns this task, and how the rest is measured:
        ``{"reconstructions": {where: figures}, "measured_by": command}``."""
        from janusflow.codecs.beside import MEASURE  # here: it imports torch

        return {"reconstructions": dict(noted), "measured_by": MEASURE}

    def judge_protocol(self) -> Record:
        """Who judges, with hashes, without loading it. Raises ``ValueError`` where its files are missing."""
        return {}

    def load_judge(self) -> Judge | None:
        """The judge of the pictures; None for tasks without pictures."""
        return None

    @abstractmethod
    def departures(self, judge: Record) -> list[str]:
        """What is not as in the published protocol, a few words each: another judge than the official one, or options.

        They stand in the title, and the scores in no paper's column. Known once the files have been read; ``judge`` is
        what :meth:`judge_protocol` gives.
        """

    @abstractmethod
    def score(self, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str]) -> Scored:
        """The result, by pure functions over what was judged and answered.

        An item without a verdict or an answer counts as wrong; the runner names it and marks the result incomplete.
        """

    def resample(
        self, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str]
    ) -> Mapping[str, float | None]:
        """The scores of a part of the items, for their intervals: by default all that :meth:`score` gives."""
        return self.score(work, judged, answers).scores
