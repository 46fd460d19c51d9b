"""GenEval's scores from stored records."""

from __future__ import annotations

import json

import pytest

from eval.geneval.result import from_record, score_samples, to_record
from eval.geneval.score import TAGS, Detection

DOG = Detection("dog", 0.95, (0.0, 0.0, 10.0, 10.0), "red")


def prompt(tag: str, **conditions) -> dict:
    return {"tag": tag, "prompt": "a photo of a dog", "include": [{"class": "dog", "count": 1, **conditions}]}


def test_record_survives_json():
    record = json.loads(json.dumps(to_record([DOG, DOG._replace(color=None)])))
    assert from_record(record) == [DOG, DOG._replace(color=None)]


@pytest.mark.parametrize("record", [{}, {"detections": [{}]}, {"detections": [{**DOG._asdict(), "box": [1]}]}])
def test_other_records_are_refused(record):
    with pytest.raises(ValueError, match="no record of detections"):
        from_record(record)


def test_overall_is_the_mean_of_tags_not_of_pictures():
    prompts = {f"{i:05}/0": prompt(tag) for i, tag in enumerate(TAGS)}
    prompts |= {f"{i:05}/0": prompt(TAGS[0]) for i in range(6, 10)}
    records = {name: to_record([DOG] if one["tag"] == TAGS[0] else []) for name, one in prompts.items()}
    scored = score_samples(prompts, records)
    assert scored.headline == "overall"
    assert scored.scores["overall"] == pytest.approx(1 / 6)
    assert scored.scores["image accuracy"] == 0.5
    assert scored.scores["single_object"] == 1.0 and scored.scores["position"] == 0.0
    assert scored.problems == {}


def test_overall_needs_every_tag():
    scored = score_samples({"00000/0": prompt("colors", color="red")}, {"00000/0": to_record([DOG])})
    assert scored.scores["overall"] is None and scored.scores["colors"] == 1.0
    assert len(scored.problems["tags without pictures"]) == 5


def test_prompt_accuracy_of_any_and_of_all_pictures():
    prompts = {f"{i:05}/{k}": prompt("colors") for i in range(4) for k in range(4)}
    right = {f"00000/{k}" for k in range(4)} | {"00001/2"}
    scored = score_samples(prompts, {name: to_record([DOG] if name in right else []) for name in prompts})
    assert scored.scores["prompt accuracy, any picture"] == 0.5
    assert scored.scores["prompt accuracy, all pictures"] == 0.25


def test_picture_without_record_is_wrong_and_named():
    prompts = {f"00000/{k}": prompt("colors") for k in range(4)}
    scored = score_samples(prompts, {f"00000/{k}": to_record([DOG]) for k in range(3)})
    assert scored.scores["colors"] == 0.75
    assert scored.problems["missing"] == ["00000/3"]
    assert scored.items["00000/3"]["reason"] == "no picture was judged"


def test_stored_colours_decide():
    prompts = {"00000/0": prompt("colors", color="red"), "00001/0": prompt("colors", color="blue")}
    scored = score_samples(prompts, {name: to_record([DOG]) for name in prompts})
    assert [item["correct"] for item in scored.items.values()] == [True, False]


def test_rewritten_prompts_are_other_columns():
    scored = score_samples({"00000/0": prompt("colors")}, {}, "GPT-4o")
    assert scored.headline == "overall (GPT-4o prompts)"
    assert "overall" not in scored.scores and "colors (GPT-4o prompts)" in scored.scores
