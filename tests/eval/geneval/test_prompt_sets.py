"""The scorer on whole prompt sets: the 553 real ones, and those of the worlds."""

import json
from collections import Counter
from pathlib import Path

import pytest

from eval.geneval.score import COLORS, Box, Detection, check_prompt, relations, score_image
from eval.worlds.benchmark import SPLITS, benchmark_prompts
from janusflow.worlds.scenes import sample_scene
from tests.worlds.reading import WORLDS, rng_of

GENEVAL_PROMPTS = Path(__file__).parents[3] / "../shared/data/prompts/geneval.jsonl"
STEPS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}


def at(x: float, y: float, size: float = 10.0) -> Box:
    """A square box around (x, y)."""
    return (x - size / 2, y - size / 2, x + size / 2, y + size / 2)


def satisfy(wanted: dict) -> list[Detection]:
    """Detections that meet a prompt: a pile of boxes for each include, a step away from its target."""
    centers: list[tuple[float, float]] = []
    found = []
    for index, include in enumerate(wanted["include"]):
        x, y = 500.0 * index, 500.0 * index
        if "position" in include:
            relation, target = include["position"]
            (x0, y0), (dx, dy) = centers[target], STEPS[relation]
            x, y = x0 + 100 * dx, y0 + 100 * dy
        centers.append((x, y))
        found += [Detection(include["class"], 0.95, at(x, y), include.get("color"))] * include["count"]
    return found


def assert_satisfiable_and_refutable(wanted: dict) -> None:
    found = satisfy(wanted)
    assert score_image(found, wanted) == (True, ""), wanted
    for index in range(len(found)):
        assert not score_image(found[:index] + found[index + 1 :], wanted).correct, wanted
    if any("color" in include for include in wanted["include"]):
        assert not score_image(found, wanted, lambda _: None).correct, wanted
    if wanted["tag"] == "position":
        assert not score_image([d._replace(box=at(0, 0)) for d in found], wanted).correct, wanted
    if "exclude" in wanted:
        assert not score_image([*found, found[0]], wanted).correct, wanted


@pytest.mark.skipif(not GENEVAL_PROMPTS.exists(), reason=f"no GenEval prompts at {GENEVAL_PROMPTS}")
def test_all_553_real_prompts_can_be_met_and_missed():
    prompts = [json.loads(line) for line in GENEVAL_PROMPTS.read_text().splitlines()]
    sizes = {"single_object": 80, "two_object": 99, "counting": 80, "colors": 94, "position": 100, "color_attr": 100}
    assert Counter(p["tag"] for p in prompts) == sizes
    assert {i["color"] for p in prompts for i in p["include"] if "color" in i} == set(COLORS)
    for wanted in prompts:
        check_prompt(wanted)
        assert_satisfiable_and_refutable(wanted)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_the_worlds_benchmark_can_be_met_and_missed(world, split):
    for wanted in benchmark_prompts(world, 20, split):
        assert_satisfiable_and_refutable(wanted)


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_relations_agree_with_the_worlds(world):
    for index in range(100):
        scene = sample_scene(rng_of(1, index), "two_object", world=world)
        a, b = (tuple(48 * edge for edge in thing.box) for thing in scene.objects)
        assert relations(a, b) == set(scene.relations())
