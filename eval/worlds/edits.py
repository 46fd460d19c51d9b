"""A world's edits as a task: pictures of scenes with instructions, and whether what is drawn is that and nothing else.

Judged exactly, by the cast's detector: an edit succeeds where what was asked is there, and keeps what it leaves alone
where each such thing is found as it was.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image

from eval.geneval.score import MIN_SCORE, Detection
from eval.picture_folder import strangers
from eval.subsets import evenly
from eval.task import Drawing, Judge, Judged, Question, Record, Scored, Task, Work
from eval.worlds.benchmark import BENCHMARK_SEED, HELD_OUT, IN_DISTRIBUTION
from eval.worlds.task import png, split_of
from janusflow.options import option
from janusflow.worlds.edits import EDIT_KINDS, Edit, sample_edit
from janusflow.worlds.placement import GRID, Level
from janusflow.worlds.scenes import Thing, World

HELD_OUT_EDITS = "held_out_edits"
SUFFIXES = {IN_DISTRIBUTION: "", HELD_OUT: " (held out)", HELD_OUT_EDITS: " (held-out edits)"}
EDITS_SEED = 11
NEAR = 0.1  # of the side: a thing is where it was if its box's centre is no farther away

SUCCESS, KEPT, RIGHT = "edit success", "untouched kept", "all right"


@dataclass(frozen=True)
class EditsOptions:
    """Which world, and how much of it is asked for."""

    cast: str = option(World.cast, "what its things are: shapes or objects")
    level: Level = option("free", "how they are placed")  # noqa: RUF009 - a field
    edits_per_kind: int = option(25, "edits of each kind (recolour, add, remove, move) in each split")
    images_per_edit: int = option(1, "pictures of each edit, seeds 0, 1, …")

    def __post_init__(self) -> None:
        for name in ("edits_per_kind", "images_per_edit"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        World(self.cast, self.level)

    @property
    def world(self) -> World:
        """The world that is edited."""
        return World(self.cast, self.level)


class EditVerdict(NamedTuple):
    """What became of an edit."""

    success: bool  # what was asked is there
    kept: int  # of the untouched things
    untouched: int
    right: bool  # all of it, and nothing else
    reason: str = ""


class DetectorJudge(Judge):
    """The cast's detector alone."""

    def __init__(self, cast: str) -> None:
        self.cast = cast

    def judge(self, drawings: Sequence[Drawing], images: Sequence[Image.Image]) -> list[Judged]:
        from eval.worlds.judge import look

        return [Judged(record) for record in look(self.cast, images)]


class EditsTask(Task):
    """Recolour, add, remove, move: in distribution, of compositions that training never shows, and edits of kinds of
    things that it never does."""

    name = "world-edits"
    title = "world edits"
    options: ClassVar[type] = EditsOptions
    overview = tuple(f"{name}{suffix}" for name in (SUCCESS, KEPT) for suffix in SUFFIXES.values())[1:]

    def prepare(self, limit: int | None = None) -> Work:
        drawings = self.drawings()
        shown = hashlib.sha256(b"".join(image for one in drawings for image in one.images)).hexdigest()[:12]
        protocol = {"benchmark_seed": BENCHMARK_SEED, "world": str(self.given.world), "sources": shown, "near": NEAR}
        return Work(evenly(drawings, limit, self.place), protocol=protocol)

    def place(self, item: Drawing | Question) -> tuple[str, str]:
        assert isinstance(item, Drawing), "nothing is asked"
        return f"{split_of(item)} {self.edit_of(item).kind}", item.id.split("/")[1]

    @cached_property
    def edits(self) -> dict[str, list[Edit]]:
        """Those of each split, as many of each kind."""
        return {split: benchmark_edits(self.given.world, self.given.edits_per_kind, split) for split in SUFFIXES}

    def edit_of(self, drawing: Drawing) -> Edit:
        """What a drawing is to show."""
        return self.edits[split_of(drawing)][int(drawing.id.split("/")[1])]

    def drawings(self) -> list[Drawing]:
        """The pictures of the splits, ``SPLIT/EDIT/SEED.png``."""
        return [
            Drawing(key := f"{split}/{number:05d}/{seed:04d}", edit.instruction, (seed,), f"{key}.png", (shown,))
            for split, edits in self.edits.items()
            for number, edit in enumerate(edits)
            for shown in [png(edit.source.render())]
            for seed in range(self.given.images_per_edit)
        ]

    def find_pictures(self, folder: Path, work: Work) -> Work:
        return strangers(folder, work)

    def judge_protocol(self) -> Record:
        from eval.worlds.judge import describe_detector

        return {"detector": describe_detector(self.given.cast)}

    def departures(self, judge: Record) -> list[str]:
        """None: each cast has one judge, and no paper has a column of this world."""
        return []

    def load_judge(self) -> Judge:
        return DetectorJudge(self.given.cast)

    def score(self, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str]) -> Scored:
        items: dict[str, Record] = {}
        scores: dict[str, float | None] = {}
        details: Record = {}
        for split, suffix in SUFFIXES.items():
            verdicts: dict[str, list[EditVerdict]] = {kind: [] for kind in EDIT_KINDS}
            for one in work.drawings:
                if split_of(one) == split:
                    edit = self.edit_of(one)
                    verdict = judge_edit(judged[one.id].record if one.id in judged else None, edit)
                    verdicts[edit.kind].append(verdict)
                    items[one.id] = {"kind": edit.kind, **verdict._asdict()}
            details[split] = found = edit_scores(verdicts)
            scores |= {f"{name}{suffix}": value for name, value in found.items()}
        return Scored(SUCCESS, scores, items, details=details)


def benchmark_edits(world: World, per_kind: int, split: str) -> list[Edit]:
    """``per_kind`` edits of each kind."""
    return [
        sample_edit(
            np.random.default_rng([BENCHMARK_SEED, EDITS_SEED, list(SUFFIXES).index(split), number, index]),
            world,
            "held_out" if split == HELD_OUT else "train",
            kind,
            split == HELD_OUT_EDITS,
        )
        for number, kind in enumerate(EDIT_KINDS)
        for index in range(per_kind)
    ]


def edit_scores(verdicts: Mapping[str, Sequence[EditVerdict]]) -> dict[str, float | None]:
    """Shares of the edits that succeed, of the untouched things that are kept, and of the edits that are all right: of
    all, and of the first two those of each kind."""
    everything = [verdict for several in verdicts.values() for verdict in several]
    measures: dict[str, Callable[[Sequence[EditVerdict]], float | None]] = {SUCCESS: _success, KEPT: _kept}
    found = {name: measure(everything) for name, measure in measures.items()}
    found[RIGHT] = sum(one.right for one in everything) / len(everything) if everything else None
    for name, measure in measures.items():
        found |= {f"{name}: {kind}": measure(several) for kind, several in verdicts.items()}
    return found


def _success(verdicts: Sequence[EditVerdict]) -> float | None:
    return sum(one.success for one in verdicts) / len(verdicts) if verdicts else None


def _kept(verdicts: Sequence[EditVerdict]) -> float | None:
    things = sum(one.untouched for one in verdicts)
    return sum(one.kept for one in verdicts) / things if things else None


def judge_edit(record: Mapping[str, Any] | None, edit: Edit) -> EditVerdict:
    """Whether what a detector saw on a picture (None: there is none) is what the edit asked for.

    The things of the edited name are as many as asked, in the colour that was asked; recoloured ones where they were,
    added and moved ones in the cell that was named. Untouched ones have their name, their colour if it is no drawing's
    own, and their place.
    """
    count = len(edit.untouched)
    if record is None:
        return EditVerdict(False, 0, count, False, "no picture")
    side = record["side"]
    seen = [Detection(**{**one, "box": tuple(one["box"])}) for one in record["detections"] if one["score"] > MIN_SCORE]
    of_name = [one for one in seen if one.label == edit.group.name]
    there = matched(edit.changed, of_name, lambda thing, one: is_there(thing, one, side, edit))
    success = len(of_name) == there == len(edit.changed)
    kept = matched(edit.untouched, seen, lambda thing, one: looks(thing, one) and is_near(thing, one, side))
    more = len(seen) != len(edit.target.objects)
    wrong = {
        f"{edit.kind}: {len(of_name)} {edit.group.name}, {there} as asked": not success,
        f"{count - kept} untouched lost": kept < count,
        f"{len(seen)} things, not {len(edit.target.objects)}": more,
    }
    reason = "; ".join(what for what, holds in wrong.items() if holds)
    return EditVerdict(success, kept, count, not reason, reason)


def is_there(thing: Thing, one: Detection, side: int, edit: Edit) -> bool:
    """Whether a detection is a thing as the edit asked for it."""
    if not looks(thing, one):
        return False
    if edit.kind == "recolour":
        return is_near(thing, one, side)
    x, y = center(one.box, side)
    return edit.cell is None or (min(int(GRID * y), GRID - 1), min(int(GRID * x), GRID - 1)) == divmod(edit.cell, GRID)


def looks(thing: Thing, one: Detection) -> bool:
    """Whether a detection has a thing's name and colour."""
    return one.label == thing.name and thing.color in (None, one.color)


def is_near(thing: Thing, one: Detection, side: int) -> bool:
    """Whether a detection is where a thing was."""
    return math.dist(center(thing.box, 1), center(one.box, side)) <= NEAR


def center(box: Sequence[float], side: int) -> tuple[float, float]:
    """The centre of a box, over the picture's side."""
    x0, y0, x1, y1 = box
    return (x0 + x1) / 2 / side, (y0 + y1) / 2 / side


def matched(things: Sequence[Thing], seen: Sequence[Detection], fits: Callable[[Thing, Detection], bool]) -> int:
    """How many things have a detection of their own that fits."""
    left = list(seen)
    for thing in things:
        one = next((one for one in left if fits(thing, one)), None)
        if one is not None:
            left.remove(one)
    return len(seen) - len(left)
