"""Prompt files, and lists of some prompts that stay the same for good."""

from __future__ import annotations

import json

import pytest

from eval.fid.prompt_lists import read_coco, read_mjhq
from eval.subsets import choose, evenly, list_hash


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def test_mjhq_is_read_in_the_order_of_stems(tmp_path):
    entries = {stem: {"category": kind, "prompt": f"a {stem}"} for stem, kind in (("b2", "art"), ("a1", "logo"))}
    prompts = read_mjhq(write(tmp_path / "meta_data.json", entries))
    assert [tuple(one) for one in prompts] == [("a1", "a a1", "logo"), ("b2", "a b2", "art")]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({}, "object of stems"),
        ([], "object of stems"),
        ({"x": {"category": "art"}}, "'x' has no prompt"),
        ({"x": {"category": "cars", "prompt": "p"}}, "'x' has the unknown category 'cars'"),
        ({"../x": {"category": "art", "prompt": "p"}}, "no file name"),
    ],
)
def test_damaged_mjhq_is_refused(tmp_path, content, fault):
    with pytest.raises(ValueError, match=fault):
        read_mjhq(write(tmp_path / "meta_data.json", content))


def test_coco_is_every_caption_in_the_order_of_ids(tmp_path):
    annotations = [{"id": 9, "image_id": 42, "caption": "A dog. \n"}, {"id": 3, "image_id": 42, "caption": "Dogs"}]
    prompts = read_coco(write(tmp_path / "captions.json", {"images": [], "annotations": annotations}))
    assert [(one.id, one.text) for one in prompts] == [("000000000042_3", "Dogs"), ("000000000042_9", "A dog.")]


@pytest.mark.parametrize(
    ("annotations", "fault"),
    [
        ([], "no annotations"),
        ([{"id": 1, "image_id": 2}], "annotation 0 is no caption"),
        ([{"id": 1, "image_id": 2, "caption": "a"}] * 2, "two captions have the id 1"),
    ],
)
def test_damaged_coco_is_refused(tmp_path, annotations, fault):
    with pytest.raises(ValueError, match=fault):
        read_coco(write(tmp_path / "captions.json", {"annotations": annotations}))


def test_the_10k_list_is_fixed():
    """The very list: another NumPy, another machine or another release must choose the same prompts."""
    ids = [f"{index:05d}" for index in range(30_000)]
    chosen = choose(ids, 10_000, seed=0)
    assert len(set(chosen)) == 10_000 and chosen == sorted(chosen)
    assert list_hash(chosen) == "b72379e56116"
    assert list_hash(choose(ids, 10_000, seed=1)) != list_hash(chosen)
    assert set(choose(ids, 1_000, seed=0)) < set(chosen)


def test_all_are_all_whatever_the_seed():
    assert choose("abc", None, 5) == choose("abc", 3, 5) == ["a", "b", "c"]


def test_more_than_there_are_is_refused():
    with pytest.raises(ValueError, match="cannot choose 4 of 3"):
        choose("abc", 4, 0)
    with pytest.raises(ValueError, match=r"seed of a choice .* got -1"):
        choose("abc", 2, -1)


def test_a_limit_takes_evenly_from_all_groups_and_keeps_units_together():
    items = [unit + part for unit in ("a1", "a2", "a3", "a4", "b1", "b2", "c1") for part in "xy"]
    limits = (1, 2, 6, 7, 8, 10, 14, 99, None)
    lists = {limit: evenly(items, limit, lambda item: (item[0], item[1])) for limit in limits}
    assert lists[6] == ["a1x", "a1y", "b1x", "b1y", "c1x", "c1y"]
    assert lists[10] == ["a1x", "a1y", "a2x", "a2y", "b1x", "b1y", "b2x", "b2y", "c1x", "c1y"]
    assert lists[7] == ["a1x", "a1y", "a2x", "b1x", "b1y", "c1x", "c1y"]
    assert lists[14] == lists[99] == lists[None] == items
    for fewer, more in zip(list(lists.values()), list(lists.values())[1:], strict=False):
        assert set(fewer) <= set(more) and more == [item for item in items if item in more]
