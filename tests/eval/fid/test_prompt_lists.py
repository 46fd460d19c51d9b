"""Prompt files, and lists of some prompts that stay the same for good."""

from __future__ import annotations

import json

import pytest

from eval.fid.clip_score import read_prompts
from eval.fid.prompt_lists import read_coco, read_mjhq
from eval.subsets import choose, evenly, list_hash

MJHQ = {stem: {"category": kind, "prompt": f"a {stem}"} for stem, kind in (("b2", "art"), ("a1", "logo"))}
DOG = {"id": 9, "image_id": 42, "caption": "A dog. \n"}


@pytest.mark.parametrize(
    ("read", "name", "content", "expected"),
    [
        (read_mjhq, "meta_data.json", MJHQ, [("a1", "a a1", "logo"), ("b2", "a b2", "art")]),
        (read_coco, "c.json", {"annotations": [DOG, DOG | {"id": 3, "caption": "Dogs"}]},
         [("000000000042_3", "Dogs", ""), ("000000000042_9", "A dog.", "")]),
        (read_prompts, "a.jsonl", '{"prompt": "x"}\n\n{"id": 7, "caption": "y"}\n', [("00000", "x"), ("7", "y")]),
        (read_prompts, "meta_data.json", {"s2": "y", "s1": {"prompt": "x", "category": "art"}},
         [("s1", "x"), ("s2", "y")]),
        (read_prompts, "a.txt", "x\r\ny\n", [("00000", "x"), ("00001", "y")]),
    ],
)  # fmt: skip
def test_prompts_are_read_in_order(tmp_path, read, name, content, expected):
    (tmp_path / name).write_bytes((content if isinstance(content, str) else json.dumps(content)).encode())
    found = read(tmp_path / name)
    assert list(found.items() if isinstance(found, dict) else found) == expected


@pytest.mark.parametrize(
    ("read", "name", "content", "fault"),
    [
        (read_mjhq, "a.json", {}, "object of stems"),
        (read_mjhq, "a.json", [], "object of stems"),
        (read_mjhq, "a.json", {"x": {"category": "art"}}, "'x' has no prompt"),
        (read_mjhq, "a.json", {"x": {"category": "cars", "prompt": "p"}}, "'x' has the unknown category 'cars'"),
        (read_mjhq, "a.json", {"../x": {"category": "art", "prompt": "p"}}, "no file name"),
        (read_coco, "a.json", {"annotations": []}, "no annotations"),
        (read_coco, "a.json", {"annotations": [{"id": 1, "image_id": 2}]}, "annotation 0 is no caption"),
        (read_coco, "a.json", {"annotations": [DOG, DOG]}, "two captions have the id 9"),
        (read_prompts, "a.jsonl", '{"prompt": "x"}\n{"text": "y"}', "entry 2: there is no prompt or caption"),
        (read_prompts, "a.jsonl", '{"id": 1, "prompt": "x"}\n{"id": 1, "prompt": "y"}', "the id 1 is there twice"),
        (read_prompts, "a.jsonl", '{"id": "../1", "prompt": "x"}', "no file name"),
        (read_prompts, "a.jsonl", "{", "line 1"),
        (read_prompts, "a.json", [1], "object of prompts"),
        (read_prompts, "a.txt", "\n", "holds no prompts"),
    ],
)
def test_damaged_prompt_files_are_refused(tmp_path, read, name, content, fault):
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=fault):
        read(tmp_path / name)


def test_the_10k_list_is_fixed():
    """The very list: another NumPy, another machine or another release must choose the same prompts."""
    ids = [f"{index:05d}" for index in range(30_000)]
    chosen = choose(ids, 10_000, seed=0)
    assert len(set(chosen)) == 10_000 and chosen == sorted(chosen)
    assert list_hash(chosen) == "b72379e56116"
    assert list_hash(choose(ids, 10_000, seed=1)) != list_hash(chosen)
    assert set(choose(ids, 1_000, seed=0)) < set(chosen)


def test_all_are_all_whatever_the_seed_and_more_are_refused():
    assert choose("abc", None, 5) == choose("abc", 3, 5) == ["a", "b", "c"]
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
