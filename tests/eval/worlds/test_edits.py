"""The task of edits: what is asked, and that scenes before and after have the scores that they must have."""

import dataclasses
import json

import pytest

from eval.__main__ import main
from eval.result import RESULT, read_result
from eval.task import Judged
from eval.worlds.edits import (
    HELD_OUT_EDITS,
    KEPT,
    RIGHT,
    SUCCESS,
    SUFFIXES,
    EditsOptions,
    EditsTask,
    center,
    judge_edit,
)
from eval.worlds.judge import look
from janusflow.worlds.edits import EDIT_KINDS
from janusflow.worlds.scenes import World
from tests.eval.worlds.conftest import needs_judge

LEVELS = pytest.mark.parametrize("level", ["free", "fixed"])


@LEVELS
@pytest.mark.parametrize(("shown", "success"), [("source", 0), ("target", 1)])
def test_a_copy_of_the_source_has_no_success_and_keeps_all_and_the_target_is_right(tmp_path, level, shown, success):
    """As users score pictures that are there already."""
    needs_judge("shapes")
    task = EditsTask(EditsOptions("shapes", level, edits_per_kind=4))
    for one in task.drawings():
        (tmp_path / one.path).parent.mkdir(parents=True, exist_ok=True)
        getattr(task.edit_of(one), shown).render().save(tmp_path / one.path)
    given = ["--cast", "shapes", "--level", level, "--edits-per-kind", "4", "--workers", "0"]
    out = tmp_path / "scored"
    assert main(["run", "world-edits", "--images", str(tmp_path), "--out", str(out), *given]) == 0
    result = read_result(out / RESULT)
    for name, wanted in ((SUCCESS, success), (KEPT, 1), (RIGHT, success)):
        assert {result["scores"][f"{name}{suffix}"] for suffix in SUFFIXES.values()} == {wanted}
    for kind in EDIT_KINDS:
        assert result["scores"][f"{SUCCESS}: {kind}"] == success
    assert result["headline"] == SUCCESS and len(result["items"]) == 4 * 4 * 3
    json.dumps(result)


def judged(edit, *things):
    """The verdict on a picture in which the detector sees these things."""
    seen = [{"label": t.name, "color": t.color, "score": 0.9, "box": [edge * 48 for edge in t.box]} for t in things]
    return judge_edit({"detections": seen, "side": 48}, edit)


def moved(thing, x, y):
    left, top, right, bottom = thing.box
    return dataclasses.replace(thing, box=(left + x, top + y, right + x, bottom + y))


def first(kind, untouched=1):
    """The first edit of a kind with something that stays."""
    edits = EditsTask(EditsOptions("shapes", "free", edits_per_kind=20)).edits["in_distribution"]
    return next(edit for edit in edits if edit.kind == kind and len(edit.untouched) >= untouched)


@pytest.mark.parametrize("kind", EDIT_KINDS)
def test_what_is_wrong_counts_where_it_belongs(kind):
    edit = first(kind)
    rest, target = edit.untouched, edit.target.objects
    assert judged(edit, *target)[:4] == (True, len(rest), len(rest), True)
    assert judged(edit, *edit.source.objects)[:4] == (False, len(rest), len(rest), False)
    lost = judged(edit, *edit.changed, *rest[1:])
    assert lost.success and lost.kept == len(rest) - 1 and not lost.right and "1 untouched lost" in lost.reason
    for wrong in (moved(rest[0], 0.15, 0), dataclasses.replace(rest[0], color="none")):
        assert judged(edit, *edit.changed, wrong, *rest[1:]).kept == len(rest) - 1
    assert judged(edit, *edit.changed, moved(rest[0], 0.05, 0.05), *rest[1:]).right, "within a tenth of the side"
    more = dataclasses.replace(rest[0], name="something else")
    extra = judged(edit, *target, more)
    assert extra.success and extra.kept == len(rest) and not extra.right
    twice = judged(edit, *target, *(edit.changed or edit.source.objects))
    assert not twice.success, "as many as asked, no more"
    assert judge_edit(None, edit) == (False, 0, len(rest), False, "no picture")
    faint = {"label": edit.group.name, "color": "red", "score": 0.2, "box": [0, 0, 9, 9]}
    assert kind != "remove" or judge_edit({"detections": [faint], "side": 48}, edit).success, "not seen"


def test_places_and_colours_are_those_that_were_asked():
    recolour, move = first("recolour"), first("move")
    one = recolour.changed[0]
    far = [moved(thing, 0.2, 0) if thing.name == one.name else thing for thing in recolour.target.objects]
    assert not judged(recolour, *far).success, "a recoloured thing stays where it was"
    (thing,) = move.changed
    x, _ = center(thing.box, 1)
    elsewhere = moved(thing, (x + 1 / 3) % 1 - x, 0)
    assert not judged(move, elsewhere, *move.untouched).success
    assert not judged(move, dataclasses.replace(thing, color="none"), *move.untouched).success


@LEVELS
def test_splits_are_what_they_are_called_and_limits_take_of_every_kind(level):
    task = EditsTask(EditsOptions("shapes", level, edits_per_kind=3, images_per_edit=2))
    work = task.prepare().check()
    assert len(work) == 3 * 4 * 3 * 2 and all(len(one.images) == 1 for one in work.drawings)
    for split, edits in task.edits.items():
        assert {(edit.held_out, edit.held_out_edit) for edit in edits} == {
            (split == "held_out", split == HELD_OUT_EDITS)
        }
    assert {task.place(one)[0] for one in task.prepare(24).drawings} == {task.place(one)[0] for one in work.drawings}
    assert task.prepare().protocol == work.protocol and len(work.protocol["sources"]) == 12
    scored = task.score(work, {}, {})
    assert scored.scores[SUCCESS] == scored.scores[KEPT] == 0 and len(scored.items) == len(work)


def test_objects_are_edited_as_they_are_drawn():
    needs_judge("objects")
    task = EditsTask(EditsOptions("objects", "free", edits_per_kind=6))
    work = task.prepare()
    for shown, success in (("source", 0), ("target", 1)):
        seen = look("objects", [getattr(task.edit_of(one), shown).render() for one in work.drawings])
        scores = task.score(
            work, dict(zip((one.id for one in work.drawings), map(Judged, seen), strict=True)), {}
        ).scores
        assert abs(scores[SUCCESS] - success) < 0.15 and scores[KEPT] > 0.85


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["--cast", "letters"], "letters"),
        (["--edits-per-kind", "0"], "edits_per_kind must be at least 1, got 0"),
        (["--images-per-edit", "0"], "images_per_edit must be at least 1, got 0"),
    ],
)
def test_bad_options_are_one_line(tmp_path, capsys, arguments, value):
    assert main(["run", "world-edits", "--out", str(tmp_path / "out"), *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and value in line and not (tmp_path / "out").exists()
    assert World("shapes", "free") == EditsOptions().world
