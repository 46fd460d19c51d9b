"""Which points of a model are measured anew, and what they say about themselves."""

import dataclasses
import platform

import pytest
from janusflow.inference.options import FAMILIES

from eval.compare import judging
from eval.compare.config import CompareConfig
from eval.compare.judging import draw_timed
from eval.compare.measure import measure_model
from eval.provenance import describe
from janusflow.data.template import ChatConfig
from janusflow.data.transforms import Preprocessing
from janusflow.models.flow_head import FlowSampling
from janusflow.worlds.shapes.vocabulary import GENEVAL_TAGS

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


def test_points_say_the_batch_that_was_timed(bundles):
    prompts, seeds = ["a red circle"] * 5, range(5)
    drawn = [draw_timed(bundles["flow"], prompts, seeds, FlowSampling(1, 1.0), batch) for batch in (2, 5, 32)]
    assert [timed.batch for timed in drawn] == [2, 5, 5]
    assert all(len(timed.images) == 5 and timed.seconds > 0 for timed in drawn)


def test_first_draws_are_not_timed(bundles, monkeypatch):
    """The first one is slow, whatever its size; a smaller last batch is not timed either."""
    clock, sizes = [0.0], []

    def slow_at_first(bundle, prompts, *rest):
        clock[0] += 1 if sizes else 100
        sizes.append(len(prompts))
        return [None] * len(prompts)

    monkeypatch.setattr(judging, "generate_images", slow_at_first)
    monkeypatch.setattr(judging.time, "perf_counter", lambda: clock[0])
    timed = draw_timed(bundles["flow"], ["a red circle"] * 5, range(5), FlowSampling(1, 1.0), 4)
    assert sizes == [1, 4, 1] and timed.seconds == 1 / 4 and len(timed.images) == 5


def test_sweep_tells_its_batch(bundles, home):
    judged = measure_model(bundles["flow"], SMALL, home, "flow", with_cost=True).sweep
    assert [point["timed_batch"] for _, point in judged] == [len(GENEVAL_TAGS)]


@pytest.mark.parametrize(
    "changed", [{"chat": ChatConfig(user="Human")}, {"preprocessing": Preprocessing(normalize=False)}]
)
def test_another_chat_or_other_pixels_are_another_model(bundles, home, changed):
    measure_model(bundles["flow"], SMALL, home, "flow", with_cost=True)
    assert describe(dataclasses.replace(bundles["flow"], **changed)) != describe(bundles["flow"])
    names = {"scores.json", "cost.json", "sweep/1w1.json"}
    assert measured_anew(dataclasses.replace(bundles["flow"], **changed), home) == names


def test_heads_have_one_name_each(bundles):
    for bundle in bundles.values():
        assert describe(bundle)["head"] == FAMILIES[bundle.model.head.options]
