"""The CLIP score with a tiny CLIP of random weights, and prompt files."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from eval.clip import CLIP
from eval.fid.clip_score import CLIPJudge, CLIPScore, CLIPScoreOptions, read_prompts
from eval.fid.prompt_lists import read_coco, read_mjhq
from eval.task import Drawing, Judged
from tests.eval.pictures import picture, write_pictures

TEXTS = ["a red circle", "two dogs on a sofa", "word " * 200]


@pytest.fixture(scope="module")
def judge(clip_folder):
    return CLIPJudge(CLIP(clip_folder))


def drawings(texts):
    return [Drawing(str(index), text, (index,), f"{index}.png") for index, text in enumerate(texts)]


def test_score_is_100_times_the_models_cosine(judge):
    images = [picture(i) for i in range(3)]
    found = [one.record["score"] for one in judge.judge(drawings(TEXTS), images)]
    limits = {"padding": True, "truncation": True, "max_length": 77}
    inputs = judge.clip.processor(text=TEXTS, images=images, return_tensors="pt", **limits)
    with torch.no_grad():
        output = judge.clip.model(**inputs)
        expected = output.logits_per_image.diagonal() / judge.clip.model.logit_scale.exp() * 100
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4)
    assert all(-100 <= score <= 100 for score in found)
    for one, image, score in zip(drawings(TEXTS), images, found, strict=True):  # whatever else is in the batch
        (alone,) = judge.judge([one], [image])
        assert alone.record["score"] == pytest.approx(score, abs=1e-3)


def test_captions_are_cut_at_77_tokens(judge):
    long = "abcdefgh " * 100
    (full, cut) = judge.clip.embed_texts([long, long[:300]])
    assert torch.equal(full, cut)
    tokens = judge.clip.processor.tokenizer([long], truncation=True, max_length=77)["input_ids"][0]
    assert len(tokens) == 77 and tokens[-1] == judge.clip.model.config.text_config.eos_token_id


def test_the_task_scores_a_folder(clip_folder, tmp_path):
    (tmp_path / "prompts.txt").write_text("a red circle\n\ntwo dogs\n")
    task = CLIPScore(CLIPScoreOptions(prompts=str(tmp_path / "prompts.txt"), clip=str(clip_folder)))
    work = task.prepare().check()
    assert [one[:4] for one in work.drawings] == [
        ("00000", "a red circle", (0,), "00000.png"),
        ("00001", "two dogs", (1,), "00001.png"),
    ]
    assert len(task.judge_protocol()["clip"]["sha256"]) == 12
    write_pictures(tmp_path / "drawn", ["x/00000.png", "x/00001.png", "x/7.png"])
    found = task.find_pictures(tmp_path / "drawn", work)
    assert found.problems == {"unexpected": ["x/7.png"]}
    judged = task.load_judge().judge(work.drawings, [picture(0), picture(1)])
    scored = task.score(work, {"00000": judged[0], "00001": judged[1]}, {})
    assert scored.scores[scored.headline] == pytest.approx(sum(one.record["score"] for one in judged) / 2)
    assert task.departures(task.judge_protocol()) == [clip_folder.name, "captions of prompts.txt", "2 captions"]


def test_the_mean_is_of_what_was_judged_and_is_not_clipped():
    task = CLIPScore(CLIPScoreOptions(prompts="unused"))
    work = SimpleNamespace(drawings=drawings(["a", "b", "c"]))
    scored = task.score(work, {"0": Judged({"score": -10.0}), "2": Judged({"score": 4.0})}, {})
    assert scored.scores == {"CLIP score": -3.0} and scored.details == {"pictures": 2}
    assert task.score(work, {}, {}).scores == {"CLIP score": None}


def test_a_folder_without_clip_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is no model"):
        CLIPScore(CLIPScoreOptions(prompts="x", clip=str(tmp_path))).judge_protocol()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="no CLIP model"):
        CLIP(tmp_path)


# --- prompt files ---

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
