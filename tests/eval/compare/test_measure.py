"""What a later comparison measures anew, and that its values are those of the stored results."""

import dataclasses
import platform

import numpy as np
import pytest

from eval.candidate import describe
from eval.compare.config import CompareConfig
from eval.compare.measure import measure_model, measured
from janusflow.data.template import ChatConfig
from janusflow.data.transforms import Preprocessing
from janusflow.worlds.shapes.vocabulary import GENEVAL_TAGS

SMALL = CompareConfig(
    prompts_per_tag=1,
    images_per_prompt=2,
    questions_per_kind=1,
    reference_images=4,
    flow_steps=1,
    steps=(1,),
    guidance=(1.0,),
    sweep_prompts_per_tag=1,
    repeats=1,
    bootstrap=5,
)
ALL = {"scores/drawn-0-of-1.jsonl", "scores/answers-0-of-1.jsonl", "cost.json", "sweep/1w1.json"}
ALL |= {"sweep/1w1/drawn-0-of-1.jsonl"}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("points")


@pytest.fixture(scope="module")
def found(bundles, home):
    """The points of the flow model."""
    return measure_model(bundles["flow"], SMALL, home, "flow", with_cost=True)


def measured_anew(bundle, home):
    def times():
        return {name: (home / name).stat().st_mtime_ns for name in ALL}

    before = times()
    measure_model(bundle, SMALL, home, "flow", with_cost=True)
    return {name for name, time in times().items() if time != before[name]}


def test_values_are_by_prompt_and_a_prompt_can_be_left_out(found):
    for split, tags in (("in_distribution", 6), ("held_out", 3)):
        values = found.scores[split]
        assert len(values["tags"]) == len(values["frechet_without"]) == tags
        assert np.shape(values["correct"]) == np.shape(values["similarity"]) == (tags, 2)
        assert np.shape(values["right"]) == (len(values["kinds"]), 1)
        assert all(one != values["frechet"] for one in values["frechet_without"])
    ((_, point),) = found.sweep
    assert point["timed_batch"] == len(GENEVAL_TAGS) and point["seconds"] > 0
    assert len(found.shown) == 6 and all(path.exists() for _, paths in found.shown for path in paths)


def test_times_of_another_machine_are_measured_anew(bundles, home, found, monkeypatch):
    assert measured_anew(bundles["flow"], home) == set()
    monkeypatch.setattr(platform, "machine", lambda: "another")
    assert measured_anew(bundles["flow"], home) == {"cost.json", "sweep/1w1.json"}


def test_another_chat_or_other_pixels_are_another_model(bundles, home, found):
    bundle = bundles["flow"]
    other_pixels = dataclasses.replace(bundle, preprocessing=Preprocessing(normalize=False))
    assert describe(other_pixels) != describe(bundle)
    assert measured_anew(dataclasses.replace(other_pixels, chat=ChatConfig(user="Human")), home) == ALL


def test_half_a_cost_is_none(tmp_path):
    path = tmp_path / "cost.json"
    assert measured(path, {"steps": (1, 2)}, lambda: {"value": 1}) == {"value": 1}
    assert measured(path, {"steps": (1, 2)}, lambda: {"value": 2}) == {"value": 1}
    path.write_text(path.read_text()[:20])
    assert measured(path, {"steps": (1, 2)}, lambda: {"value": 3}) == {"value": 3}
    assert measured(path, {"steps": (2,)}, lambda: {"value": 4}) == {"value": 4}
