"""The CLIP score with a tiny CLIP of random weights."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from eval.fid.clip_score import CLIPJudge, CLIPScore, CLIPScoreOptions, mean, read_prompts
from eval.task import Drawing, Judged
from tests.eval.pictures import picture, write_pictures

TEXTS = ["a red circle", "two dogs on a sofa", "word " * 200]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A model folder in transformers' layout."""
    folder = tmp_path_factory.mktemp("clip")
    letters = sorted(ByteLevel.alphabet())
    vocabulary = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer.from_pretrained(folder).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(folder)
    end = len(vocabulary) - 1
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**sizes, "vocab_size": end + 1, "bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    vision = {**sizes, "image_size": 16, "patch_size": 8}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def judge(clip):
    return CLIPJudge(clip, "cpu")


def drawings(texts):
    return [Drawing(str(index), text, (index,), f"{index}.png") for index, text in enumerate(texts)]


def test_score_is_100_times_the_models_cosine(judge):
    images = [picture(i) for i in range(3)]
    found = [one.record["score"] for one in judge.judge(drawings(TEXTS), images)]
    limits = {"padding": True, "truncation": True, "max_length": 77}
    inputs = judge.processor(text=TEXTS, images=images, return_tensors="pt", **limits)
    with torch.no_grad():
        output = judge.model(**inputs)
        expected = output.logits_per_image.diagonal() / judge.model.logit_scale.exp() * 100
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4)
    assert all(-100 <= score <= 100 for score in found)


def test_verdicts_do_not_depend_on_the_batch(judge):
    images = [picture(i) for i in range(3)]
    together = judge.judge(drawings(TEXTS), images)
    for one, image, verdict in zip(drawings(TEXTS), images, together, strict=True):
        (alone,) = judge.judge([one], [image])
        assert alone.record["score"] == pytest.approx(verdict.record["score"], abs=1e-3)


def test_captions_are_cut_at_77_tokens(judge):
    long = "abcdefgh " * 100
    (full, cut) = judge.embed_texts([long, long[:300]])
    assert torch.equal(full, cut)
    tokens = judge.processor.tokenizer([long], truncation=True, max_length=77)["input_ids"][0]
    assert len(tokens) == 77 and tokens[-1] == judge.model.config.text_config.eos_token_id


@pytest.mark.parametrize("wrap", [lambda found: found, lambda found: SimpleNamespace(pooler_output=found)])
def test_features_are_taken_as_tensors_and_as_output_objects(judge, monkeypatch, wrap):
    """transformers gave tensors once, and gives objects now."""
    monkeypatch.setattr(judge.model, "get_image_features", lambda pixel_values: wrap(torch.ones(len(pixel_values), 8)))
    assert torch.equal(judge.embed_images([picture(0)]), torch.ones(1, 8).double())


def test_other_modes_than_rgb_are_judged(judge):
    (one,) = judge.judge(drawings(["grey"]), [Image.new("RGB", (1, 50), "grey")])
    assert np.isfinite(one.record["score"])


def test_the_task_scores_a_folder(clip, tmp_path):
    (tmp_path / "prompts.txt").write_text("a red circle\n\ntwo dogs\n")
    task = CLIPScore(CLIPScoreOptions(prompts=str(tmp_path / "prompts.txt"), clip=str(clip)))
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
    assert task.departures(task.judge_protocol()) == [clip.name, "captions of prompts.txt", "2 captions"]
    write_pictures(tmp_path / "other", ["9.png"])
    with pytest.raises(ValueError, match="is of a prompt: call them as in 00000"):
        task.find_pictures(tmp_path / "other", work)


def test_the_mean_is_of_what_was_judged_and_is_not_clipped():
    task = CLIPScore(CLIPScoreOptions(prompts="unused"))
    work = SimpleNamespace(drawings=drawings(["a", "b", "c"]))
    scored = task.score(work, {"0": Judged({"score": -10.0}), "2": Judged({"score": 4.0})}, {})
    assert scored.scores == {"CLIP score": -3.0} and scored.details == {"pictures": 2}
    assert mean([]) is None


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", '{"prompt": "x"}\n\n{"id": 7, "caption": "y"}\n', {"00000": "x", "7": "y"}),
        ("meta_data.json", '{"s1": {"prompt": "x", "category": "art"}, "s2": "y"}', {"s1": "x", "s2": "y"}),
        ("a.txt", "x\r\ny\n", {"00000": "x", "00001": "y"}),
    ],
)
def test_prompt_files(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_bytes(content.encode())
    assert read_prompts(path) == expected


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.jsonl", '{"prompt": "x"}\n{"text": "y"}', "entry 2: there is no prompt or caption"),
        ("a.jsonl", '{"id": 1, "prompt": "x"}\n{"id": 1, "prompt": "y"}', "entry 2: the id 1 is there twice"),
        ("a.jsonl", '{"id": "../1", "prompt": "x"}', "no file name"),
        ("a.jsonl", "{", "line 1"),
        ("a.json", "[1]", "object of prompts"),
        ("a.txt", "\n", "holds no prompts"),
    ],
)
def test_damaged_prompt_files_are_refused(tmp_path, name, content, fault):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=fault):
        read_prompts(path)


def test_a_folder_without_clip_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is no model"):
        CLIPScore(CLIPScoreOptions(prompts="x", clip=str(tmp_path))).judge_protocol()
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="no CLIP model"):
        CLIPJudge(tmp_path, "cpu")
    with pytest.raises(ValueError, match="needs --prompts"):
        CLIPScore(CLIPScoreOptions()).prepare()
