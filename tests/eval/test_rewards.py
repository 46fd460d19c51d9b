"""The benchmarks' rewards on rendered scenes, whose verdicts are known."""

import pytest

from eval.rewards import conditions, rules, single_conditions
from eval.worlds.benchmark import prompt_of
from janusflow.worlds.scenes import World, sample_scene
from janusflow.worlds.vocabulary import GENEVAL_TAGS
from tests.worlds.reading import rng_of

WORLD = World("shapes", "free")


@pytest.mark.parametrize("tag", GENEVAL_TAGS)
def test_right_pictures_are_worth_1_and_others_a_share(tag):
    scenes = [sample_scene(rng_of(number), tag, world=WORLD) for number in range(4)]
    prompts = [prompt_of(scene, rng_of(number)) for number, scene in enumerate(scenes)]
    images = [scene.render() for scene in scenes]
    assert rules(images, prompts) == conditions(images, prompts) == [1.0] * 4
    turned = images[1:] + images[:1]
    shares, verdicts = conditions(turned, prompts), rules(turned, prompts)
    assert all(share == 1 if verdict else share < 1 for share, verdict in zip(shares, verdicts, strict=True))


def test_conditions_are_things_colours_relations_and_numbers():
    include = [
        {"class": "star", "count": 1, "color": "red"},
        {"class": "ring", "count": 1, "color": "blue", "position": ["above", 0]},
    ]
    asked = list(single_conditions({"tag": "position", "prompt": "", "include": include}))
    assert len(asked) == 5
    counting = {"tag": "counting", "prompt": "", "include": [{"class": "star", "count": 3}]}
    assert len(list(single_conditions({**counting, "exclude": [{"class": "star", "count": 4}]}))) == 2


def test_prompts_of_no_world_are_named():
    image = sample_scene(rng_of(0), world=WORLD).render()
    for include, told in (([{"class": "dragon", "count": 1}], "dragon"), ([], "nothing")):
        with pytest.raises(ValueError, match=told if include else "include"):
            rules([image], [{"tag": "single_object", "prompt": "a dragon", "include": include}])
