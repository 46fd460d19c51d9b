"""The benchmark asks what it says: its prompts and questions are of their split, and right pictures are right."""

from collections import Counter

import pytest

from eval.geneval.score import Detection, check_prompt, score_image
from eval.worlds.benchmark import (
    HELD_OUT,
    IN_DISTRIBUTION,
    PARAPHRASED,
    REWORDED,
    SPLITS,
    Answered,
    answer_scores,
    benchmark_prompts,
    benchmark_questions,
    paraphrases,
    prompt_of,
    tag_scores,
    tags_of,
    told,
)
from eval.worlds.diversity import scene_for
from janusflow.worlds import captions
from janusflow.worlds.questions import WORDINGS, ask, question_kinds
from janusflow.worlds.scenes import World, groups_held_out, sample_scene
from janusflow.worlds.vocabulary import GENEVAL_TAGS
from tests.worlds.reading import OPPOSITE, WORLDS, look, read, rng_of

REWORDINGS = {
    form for place in (captions.AROUND, captions.COLORED, captions.BETWEEN, captions.RELATED) for form in place.held_out
}
each = pytest.mark.parametrize("world", WORLDS, ids=str)


@pytest.mark.parametrize("split", SPLITS)
@each
def test_prompts_have_all_tags_are_of_their_split_and_ask_what_they_say(world, split):
    prompts = benchmark_prompts(world, 25, split)
    tags = tags_of(world, split)
    assert set(tags) <= set(GENEVAL_TAGS) and (split == HELD_OUT or tuple(tags) == GENEVAL_TAGS)
    assert Counter(prompt["tag"] for prompt in prompts) == Counter(dict.fromkeys(tags, 25))
    for prompt in prompts:
        check_prompt(prompt)
        found = read(prompt["prompt"], world.cast, prompt["tag"] == "position")
        wanted = {(entry["class"], entry["count"], entry.get("color")) for entry in prompt["include"]}
        assert {(claim.name, claim.count, claim.color) for claim in found.claims} == wanted, prompt
        assert bool(REWORDINGS & set(found.forms)) == (split == REWORDED), prompt
        assert groups_held_out(world.things, told(prompt)) == (split == HELD_OUT), prompt
        if prompt["tag"] == "position":
            relation, target = prompt["include"][1]["position"]
            names = [claim.name for claim in found.claims]
            pair = [prompt["include"][1]["class"], prompt["include"][target]["class"]]
            assert sorted(names) == sorted(pair), prompt
            assert found.relation == (relation if names == pair else OPPOSITE[relation]), prompt
        exclude = [{"class": entry["class"], "count": entry["count"] + 1} for entry in prompt["include"]]
        assert prompt.get("exclude", []) == (exclude if prompt["tag"] == "counting" else []), prompt


@each
def test_prompts_are_the_same_every_time_and_differ_from_each_other(world):
    prompts = benchmark_prompts(world, 5, IN_DISTRIBUTION)
    assert (
        prompts == benchmark_prompts(world, 5, IN_DISTRIBUTION) != benchmark_prompts(world, 5, IN_DISTRIBUTION, seed=4)
    )
    assert prompts[:5] == benchmark_prompts(world, 8, IN_DISTRIBUTION)[:5], "more prompts begin with the same"
    several = [one["prompt"] for one in benchmark_prompts(world, 20, IN_DISTRIBUTION)]
    assert len(set(several)) == len(several)
    splits = [{one["prompt"] for one in benchmark_prompts(world, 20, split)} for split in SPLITS]
    assert not splits[0] & splits[1] and not splits[0] & splits[2]


@pytest.mark.parametrize("tag", [*GENEVAL_TAGS])
@each
def test_the_scene_of_a_prompt_passes_geneval_and_others_do_not(world, tag):
    scenes = [sample_scene(rng_of(14, index), tag, world=world) for index in range(60)]
    exact = [[Detection(t.name, 1.0, t.box, t.color) for t in scene.objects] for scene in scenes]
    read_off = [[Detection(one.name, 1.0, one.box, one.color) for one in look(scene)] for scene in scenes]
    wrong = missed = 0
    for index, scene in enumerate(scenes):
        prompt = prompt_of(scene, rng_of(6, index), reworded=index % 2 == 1)
        assert score_image(exact[index], prompt).correct, prompt
        missed += not score_image(read_off[index], prompt).correct
        wrong += not score_image(exact[index - 1], prompt).correct
    assert missed <= 1 and wrong > 30


@pytest.mark.parametrize("split", [IN_DISTRIBUTION, HELD_OUT])
@each
def test_questions_are_of_every_kind_about_scenes_of_the_split(world, split):
    asked = benchmark_questions(world, 6, split)
    assert Counter(question.kind for _, question in asked) == Counter(dict.fromkeys(question_kinds(world), 6))
    assert all(scene.held_out == (split == HELD_OUT) and scene.world == world for scene, _ in asked)
    assert len({scene.objects for scene, _ in asked}) == len(asked)
    assert [question for _, question in asked] == [question for _, question in benchmark_questions(world, 6, split)]


@each
def test_paraphrased_questions_ask_the_same_in_other_words(world):
    asked = benchmark_questions(world, 3, PARAPHRASED)
    wordings = [wording for several in WORDINGS.values() for wording in several]
    assert {question.kind for _, question in asked} == set(question_kinds(world)) - {"style"}
    for scene, question in asked:
        assert not scene.held_out and "{" not in question.text and question.text not in wordings
        same = [ask(scene, rng_of(number), question.kind) for number in range(60)]
        assert question.answer in {one.answer for one in same if one is not None}, (scene, question)


@each
def test_right_pictures_score_1_and_empty_ones_0(world):
    for split in SPLITS:
        tags = tags_of(world, split)
        prompts, right, nothing = [], [], []
        for number, tag in enumerate(tags):
            for index in range(3):
                scene = sample_scene(rng_of(9, number, index), tag, "held_out" if split == HELD_OUT else "train", world)
                prompts.append(prompt_of(scene, rng_of(10, number, index)))
                right.append(score_image([Detection(t.name, 1.0, t.box, t.color) for t in scene.objects], prompts[-1]))
                nothing.append(score_image([], prompts[-1]))
        scores = tag_scores(right, [prompt["tag"] for prompt in prompts])
        assert scores["overall"] == 1 and scores["failures"] == {} and set(scores["tags"]) == set(tags)
        assert scores["complete"] == (split != HELD_OUT)
        scores = tag_scores(nothing, [prompt["tag"] for prompt in prompts])
        assert scores["overall"] == 0 and sum(scores["images"].values()) == len(prompts)
        assert 0 < sum(scores["failures"].values()) <= len(prompts)


@pytest.mark.parametrize("cast", ["shapes", "objects"])
def test_paraphrases_are_of_all_tags_and_can_be_met(cast):
    world, every = World(cast), paraphrases(cast, 1000)
    assert len(every) == 132 and len({prompt["prompt"] for prompt in every}) == 132
    some = Counter(prompt["tag"] for prompt in paraphrases(cast, 14))
    assert set(some) == set(GENEVAL_TAGS) and set(some.values()) <= {2, 3}
    for number, prompt in enumerate(every):
        check_prompt(prompt)
        assert {entry["class"] for entry in prompt["include"]} <= set(world.things.names)
        assert ("exclude" in prompt) == (prompt["tag"] == "counting"), prompt
        scene = scene_for(prompt, rng_of(11, number), world)
        assert score_image([Detection(t.name, 1.0, t.box, t.color) for t in scene.objects], prompt).correct, prompt


def test_answers_are_counted_by_kind():
    scores = answer_scores([Answered("what", True), Answered("what", False), Answered("color", True)])
    assert scores == {"kinds": {"what": 0.5, "color": 1.0}, "overall": 2 / 3, "questions": 3}
