"""Which points of a model are measured anew, and what they say about themselves."""

import platform

import pytest

from eval.compare.config import CompareConfig
from eval.compare.measure import measure_model

SMALL = CompareConfig(
    prompts_per_tag=1,
    images_per_prompt=1,
    questions_per_kind=1,
    reference_images=4,
    flow_steps=1,
    steps=(1,),
    guidance=(1.0,),
    sweep_prompts_per_tag=1,
    repeats=1,
    bootstrap=5,
)


@pytest.fixture(scope="module")
def home(bundles, tmp_path_factory):
    """The points of the flow model."""
    folder = tmp_path_factory.mktemp("points")
    measure_model(bundles["flow"], SMALL, folder, "flow", with_cost=True)
    return folder


def points(home):
    return {str(path.relative_to(home)): path.stat().st_mtime_ns for path in home.glob("**/*.json")}


def measured_anew(bundle, home):
    before = points(home)
    measure_model(bundle, SMALL, home, "flow", with_cost=True)
    return {name for name, time in points(home).items() if time != before[name]}


def test_times_of_another_machine_are_measured_anew(bundles, home, monkeypatch):
    assert measured_anew(bundles["flow"], home) == set()
    monkeypatch.setattr(platform, "machine", lambda: "another")
    assert measured_anew(bundles["flow"], home) == {"cost.json", "sweep/1w1.json"}
