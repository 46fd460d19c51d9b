"""Prompt files."""

from __future__ import annotations

import json

import pytest

from eval.fid.clip_score import read_prompts
from eval.fid.prompt_lists import read_coco, read_mjhq

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
        (read_mjhq, "a.json", {}, "object of records"),
        (read_mjhq, "a.json", {"x": {"category": "art"}}, "'x' has no prompt"),
        (read_mjhq, "a.json", {"x": {"category": "cars", "prompt": "p"}}, "'x' has the unknown category 'cars'"),
        (read_mjhq, "a.json", {"../x": {"category": "art", "prompt": "p"}}, "no file name"),
        (read_coco, "a.json", {"annotations": []}, "no list of annotations"),
        (read_coco, "a.json", {"annotations": [{"id": 1, "image_id": 2}]}, "record 1 is no caption"),
        (read_coco, "a.json", {"annotations": [DOG, DOG]}, "two captions have the id 9"),
        (read_prompts, "a.jsonl", '{"prompt": "x"}\n{"text": "y"}', "entry 2: there is no prompt or caption"),
        (read_prompts, "a.jsonl", '{"id": 1, "prompt": "x"}\n{"id": 1, "prompt": "y"}', "the id 1 is there twice"),
        (read_prompts, "a.jsonl", '{"id": "../1", "prompt": "x"}', "no file name"),
        (read_prompts, "a.json", [1], "object of prompts"),
        (read_prompts, "a.txt", "\n", "holds no prompts"),
    ],
)
def test_damaged_prompt_files_are_refused(tmp_path, read, name, content, fault):
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=fault):
        read(tmp_path / name)
