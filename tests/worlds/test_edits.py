"""Edits of scenes: only what was asked changes, nothing that training holds out occurs, and words are certain."""

import re
from collections import Counter

import numpy as np
import pytest

from janusflow.worlds.edits import EDIT_KINDS, FORMS, edit_held_out, instruction, sample_edit
from janusflow.worlds.notes import foreign_words
from janusflow.worlds.placement import MARGIN
from janusflow.worlds.scenes import Group
from janusflow.worlds.vocabulary import COLORS, plural
from tests.worlds.reading import WORLDS

EACH = pytest.mark.parametrize("world", WORLDS, ids=str)


def edits(world, count=60, **settings):
    return [sample_edit(np.random.default_rng([7, seed]), world, **settings) for seed in range(count)]


@EACH
def test_nothing_but_what_is_asked_changes(world):
    found = edits(world)
    assert set(Counter(edit.kind for edit in found)) == set(EDIT_KINDS)
    for edit in found:
        before, after = set(edit.source.objects), set(edit.target.objects)
        assert set(edit.untouched) == before & after and edit.source.background == edit.target.background
        assert set(edit.changed) == after - before
        gone = before - after
        assert bool(gone) == (edit.kind != "add") and bool(edit.changed) == (edit.kind != "remove")
        assert {thing.name for thing in gone | set(edit.changed)} == {edit.group.name}
        if edit.kind == "recolour":
            assert {(t.box, t.size) for t in gone} == {(t.box, t.size) for t in edit.changed}
            assert all(thing.color == edit.group.color for thing in edit.changed)
        if edit.kind == "move":
            (old,), (new,) = gone, edit.changed
            assert new.cell == edit.cell != old.cell and (new.size, new.rgb) == (old.size, old.rgb)
        for scene in (edit.source, edit.target):
            names = [group.name for group in scene.groups]
            assert len(set(names)) == len(names) and sum(g.count for g in scene.groups) == len(scene.objects)
            boxes = [thing.box for thing in scene.objects]
            assert all(min(box) >= MARGIN - 1e-6 and max(box) <= 1 - MARGIN + 1e-6 for box in boxes if world.free)
            for place, (a, b, c, d) in enumerate(boxes):
                assert not any(a < g and e < c and b < h and f < d for e, f, g, h in boxes[:place]), "none overlap"


@EACH
def test_training_shows_nothing_that_is_held_out(world):
    for edit in edits(world, 80):
        assert not edit.held_out and not edit.held_out_edit
        for scene in (edit.source, edit.target):
            assert not any(map(world.things.held_out, scene.groups))
            names = [group.name for group in scene.groups]
            assert not any(world.things.held_out_pair(a, b) for a in names for b in names if a < b)
    assert all(edit.held_out and not edit.held_out_edit for edit in edits(world, 10, split="held_out"))
    apart = edits(world, 10, held_out_edit=True)
    assert all(edit.held_out_edit and not edit.held_out for edit in apart)
    for kind in EDIT_KINDS:
        names = [name for name in world.things.names if edit_held_out(world.things, kind, name)]
        assert 0 < len(names) <= len(world.things.names) // 6
        assert sample_edit(np.random.default_rng(0), world, kind=kind).kind == kind


@EACH
def test_an_instruction_names_one_group_what_is_asked_of_it_and_no_foreign_word(world):
    for edit in edits(world):
        text, group = edit.instruction, edit.group
        assert text == text.lower().strip() and "  " not in text and "{" not in text
        assert not foreign_words(text, world.cast)
        named = group.name if group.count == 1 else plural(group.name)
        assert named in text
        colors = [color for color in COLORS if re.search(rf"\b{color}\b", text.replace(named, ""))]
        before = [one.color for one in edit.source.groups if one.name == group.name]
        if edit.kind == "recolour":
            assert group.color in colors and set(colors) <= {group.color, *before}
        elif edit.kind == "add":
            assert colors == ([group.color] if group.color else [])
        else:
            assert set(colors) <= {group.color}
        assert edit.kind != "move" or edit.cell is not None


def test_every_form_is_said_and_numbers_agree():
    rng = np.random.default_rng(0)
    for kind, forms in FORMS.items():
        several = [instruction(rng, kind, Group("circle", "red", 1), "blue", 0) for _ in range(300)]
        assert len({re.sub("red ", "", text) for text in several}) == len(forms)
    two = {instruction(rng, "remove", Group("circle", "red", 2)) for _ in range(200)}
    assert {"remove the circles", "remove the two red circles"} <= two


def test_edits_are_a_function_of_their_seed():
    for world in WORLDS:
        one, other = (sample_edit(np.random.default_rng(5), world) for _ in range(2))
        assert one == other and one != sample_edit(np.random.default_rng(6), world)
