"""Somebody's folder of pictures against a benchmark's prompts."""

from __future__ import annotations

import pytest

from eval.picture_folder import match_pictures
from eval.task import Drawing, Work

WORK = Work(drawings=[Drawing(stem, f"a {stem}", (i,), f"art/{stem}.png") for i, stem in enumerate("abc")])


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("names", [("a.jpg", "b.PNG", "c.webp"), ("x/a.png", "y/b.png", "x/z/c.png")])
def test_flat_and_nested_folders_are_matched_by_stem(tmp_path, names):
    found = match_pictures(touch(tmp_path, *names, "notes.txt", ".hidden.png"), WORK)
    assert [one.path for one in found.drawings] == list(names)
    assert [one[:3] for one in found.drawings] == [one[:3] for one in WORK.drawings]
    assert found.problems == {}


def test_the_same_stem_twice_is_a_duplicate_and_the_first_counts(tmp_path):
    found = match_pictures(touch(tmp_path, "a.png", "a.jpg", "old/b.png", "new/b.png", "c.png"), WORK)
    assert found.problems == {"duplicate": ["a.png", "old/b.png"]}
    assert [one.path for one in found.drawings] == ["a.jpg", "new/b.png", "c.png"]


def test_missing_pictures_stay_among_the_drawings(tmp_path):
    found = match_pictures(touch(tmp_path, "b.jpg"), WORK)
    assert [one.path for one in found.drawings] == ["art/a.png", "b.jpg", "art/c.png"]


def test_other_stems_are_unexpected_and_not_scored(tmp_path):
    found = match_pictures(touch(tmp_path, "a.png", "b.png", "c.png", "d.png"), WORK)
    assert found.problems == {"unexpected": ["d.png"]}
    assert len(found.drawings) == 3


def test_where_no_name_is_a_prompts_all_pictures_are_scored(tmp_path):
    found = match_pictures(touch(tmp_path, "animals/0.png", "art/0.png", "art/1.png"), WORK)
    assert [one.path for one in found.drawings] == ["animals/0.png", "art/0.png", "art/1.png"]
    assert found.problems == {} and "no name is a prompt's" in found.protocol["pictures"]
    found.check()


def test_then_another_number_than_that_of_the_prompts_is_named(tmp_path):
    found = match_pictures(touch(tmp_path, "0.png", "1.png"), WORK)
    assert found.problems == {"missing": ["1 of 3 pictures"]}
    found = match_pictures(touch(tmp_path, *(f"{i}.png" for i in range(5)), "0.jpg"), WORK)
    assert found.problems == {"duplicate": ["0.png"], "unexpected": ["5 pictures, where there are 3 prompts"]}


def test_the_benchmarks_own_problems_are_kept(tmp_path):
    work = Work(drawings=WORK.drawings, problems={"duplicate": ["z"], "damaged": ["y"]})
    found = match_pictures(touch(tmp_path, "a.png", "a.jpg"), work)
    assert found.problems == {"duplicate": ["z", "a.png"], "damaged": ["y"]}
    assert work.problems == {"duplicate": ["z"], "damaged": ["y"]}


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no pictures"):
        match_pictures(touch(tmp_path, "notes.txt"), WORK)
