"""GenEval's own prompts in the world of objects: which, and their scores with those held out apart."""

import pytest

from eval.geneval.layout import index_of
from eval.task import Judged
from eval.worlds.diversity import scene_for
from eval.worlds.geneval_objects import PROMPTS, WORLD, GenEvalObjects, GenEvalObjectsOptions
from janusflow.worlds.notes import foreign_words
from tests.worlds.reading import rng_of


@pytest.fixture(scope="module")
def task(shared):
    return GenEvalObjects(GenEvalObjectsOptions(str(shared / "data" / "prompts" / "geneval.jsonl")))


def judged(scene):
    """As a detector that sees all of it."""
    seen = [
        {"label": thing.name, "score": 1.0, "box": [64 * edge for edge in thing.box], "color": thing.color}
        for thing in scene.objects
    ]
    return Judged({"detections": seen, "frame": [0, 0, 0], "side": 64})


def test_its_prompts_are_those_that_name_the_drawings(task):
    assert len(task.prompts) == PROMPTS and len({prompt["tag"] for prompt in task.prompts}) == 6
    foreign = {word for prompt in task.prompts for word in foreign_words(prompt["prompt"], "objects")}
    assert not foreign
    assert {c["class"] for prompt in task.prompts for c in prompt["include"]} <= set(WORLD.things.names)


def test_scores_of_what_training_never_shows_stand_apart(task):
    work = task.prepare(60)
    prompts = {one.id: task.prompts[index_of(one.id)] for one in work.drawings}
    right = {name: judged(scene_for(prompts[name], rng_of(51, n), WORLD)) for n, name in enumerate(prompts)}
    scores = task.rules(work, right).scores
    assert scores["image accuracy, seen"] == scores["image accuracy, held out"] == 1
    nothing = Judged({"detections": [], "frame": [0, 0, 0], "side": 64})
    scores = task.rules(work, dict.fromkeys(prompts, nothing)).scores
    assert scores["image accuracy, seen"] == scores["image accuracy, held out"] == 0
