"""Diversity and coverage: near 1 for rendered scenes, 0 for one picture a prompt, low for a part of the world."""

import numpy as np
import pytest
from PIL import Image

from eval.geneval.score import Detection, score_image
from eval.task import Judged
from eval.worlds import diversity
from eval.worlds.benchmark import IN_DISTRIBUTION, SPLITS, benchmark_prompts
from eval.worlds.judge import REFERENCE, coverage, diversity_scores, embed, feature_scores, look, rendered_features
from janusflow.worlds.scenes import Group, compose, sample_scene
from tests.worlds.reading import WORLDS, rng_of

PICTURES = 8


def judged(world, images):
    """What the judge says about pictures, without their similarity to prompts."""
    rows = embed(world.cast, images).numpy()
    return [Judged({**record, "cosine": 0.1}, row) for record, row in zip(look(world.cast, images), rows, strict=True)]


def drawn(world, prompts):
    """Rendered scenes that fit each prompt."""
    return [
        [diversity.scene_for(prompt, rng_of(31, number, seed), world).render() for seed in range(PICTURES)]
        for number, prompt in enumerate(prompts)
    ]


def test_collapse_is_seen_on_every_aspect(judged_world):
    prompts = benchmark_prompts(judged_world, 2, IN_DISTRIBUTION)
    seen = [judged(judged_world, images) for images in drawn(judged_world, prompts)]
    whole = diversity_scores(prompts, seen, judged_world)
    assert set(whole) == {*diversity.ASPECTS, "overall"} and all(0.8 < value <= 1 for value in whole.values()), whole

    one = diversity_scores(prompts, [found[:1] * PICTURES for found in seen], judged_world)
    assert one == pytest.approx(dict.fromkeys(whole, 0), abs=1e-6)
    two = diversity_scores(prompts, [found[:2] * (PICTURES // 2) for found in seen], judged_world)
    assert all(0.3 < two[aspect] < min(0.9, whole[aspect]) for aspect in whole), two
    assert 0.5 < two["overall"] < 0.8

    blank = judged(judged_world, [Image.new("RGB", (48, 48), "grey")])
    nothing = diversity_scores(prompts, [blank * PICTURES for _ in prompts], judged_world)
    assert nothing == pytest.approx(dict.fromkeys(whole, 0), abs=1e-6), "what is not seen does not differ"
    assert diversity_scores(prompts, [found[:1] for found in seen], judged_world) == {}, "one picture has no other"


def test_one_aspect_that_does_not_vary_is_seen_alone(judged_world):
    prompts = benchmark_prompts(judged_world, 1, IN_DISTRIBUTION)[:3]
    alike = []
    for images in drawn(judged_world, prompts):
        levels = (np.asarray(image, float) for image in images)
        shifted = (np.clip(pixels - pixels[0, 0] + 172, 0, 255).astype(np.uint8) for pixels in levels)
        alike.append(judged(judged_world, list(map(Image.fromarray, shifted))))
    found = diversity_scores(prompts, alike, judged_world)
    assert found["background"] < 0.3 < 0.6 < found["place"]


def record(x, y, size, color, frame, score=0.9, label="ring"):
    box = [100 * (x - size / 2), 100 * (y - size / 2), 100 * (x + size / 2), 100 * (y + size / 2)]
    return {"detections": [{"label": label, "score": score, "box": box, "color": color}], "frame": frame, "side": 100}


def test_spread_is_what_it_is_called():
    prompt = {"include": [{"class": "ring", "count": 1}]}
    seen = [record(0.25, 0.5, 0.2, "red", [0, 0, 0]), record(0.75, 0.5, 0.4, "blue", [0, 30, 40])]
    features = np.eye(3)[:2]
    found = diversity.spread(seen, features, prompt)
    expected = {"place": 0.5, "size": np.log(2), "color": 2**0.5, "background": 50, "features": 2}
    assert found == pytest.approx({aspect: value / 2**0.5 for aspect, value in expected.items()})
    again = diversity.spread([*seen, seen[0]], np.eye(3), prompt)
    assert again["color"] == pytest.approx(2 / 3)
    seen[0]["detections"] += record(0.75, 0.5, 0.4, "blue", [], score=0.95)["detections"]
    assert diversity.spread(seen, features, prompt)["place"] == 0, "the surest counts"
    colored = {"include": [{"class": "ring", "count": 1, "color": "red"}]}
    assert "color" not in diversity.spread(seen, features, colored)
    absent = diversity.spread(seen, features, {"include": [{"class": "star", "count": 1}]})
    assert set(absent) == {"background", "features"}


def test_aspects_are_means_over_prompts_relative_to_rendered_scenes():
    rendered = [{"place": 1.0, "background": 4.0}, {"place": 3.0, "background": 4.0, "color": 0.5}]
    found = diversity.diversity([{"place": 1.0, "background": 9.0}, {"background": 9.0}], rendered)
    assert found == {"place": 0.25, "color": 0.0, "background": 1.0, "overall": pytest.approx(1.25 / 3)}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_scenes_for_prompts_are_right_and_say_no_more(world, split):
    for number, prompt in enumerate(benchmark_prompts(world, 12, split)):
        for seed in range(2):
            scene = diversity.scene_for(prompt, rng_of(32, number, seed), world)
            verdict = score_image([Detection(t.name, 1.0, t.box, t.color) for t in scene.objects], prompt)
            assert verdict.correct, (prompt, verdict)
            assert len(scene.objects) == sum(entry["count"] for entry in prompt["include"])
    if split == SPLITS[0]:
        free = [diversity.scene_for(prompt, rng_of(33, seed), world) for seed in range(30)]
        assert len({scene.objects for scene in free}) == 30


def test_the_judge_finds_scenes_for_prompts_right(judged_world):
    prompts = [prompt for split in SPLITS for prompt in benchmark_prompts(judged_world, 4, split)]
    images = [diversity.scene_for(prompt, rng_of(34, n), judged_world).render() for n, prompt in enumerate(prompts)]
    seen = [[Detection(**one) for one in record["detections"]] for record in look(judged_world.cast, images)]
    wrong = [
        (p["prompt"], v.reason) for p, s in zip(prompts, seen, strict=True) if not (v := score_image(s, p)).correct
    ]
    assert len(wrong) <= 0.03 * len(prompts), wrong


def test_coverage_falls_with_what_is_missing(judged_world):
    references, count = 384, 96
    real = rendered_features(judged_world, IN_DISTRIBUTION, references, REFERENCE)
    kinds = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
    scenes = [sample_scene(rng_of(35, n), kinds[n % 6], world=judged_world) for n in range(count)]
    features = embed(judged_world.cast, [scene.render() for scene in scenes]).numpy()
    whole = coverage(features, judged_world, IN_DISTRIBUTION, references)
    assert whole["recall"] > 0.75 and whole["recall"] == pytest.approx(whole["recall_floor"], abs=0.1)
    assert whole["nearest"] == pytest.approx(whole["nearest_floor"], rel=0.35), "medians of 96"

    collapsed = coverage(np.repeat(features[: count // 8], 8, axis=0), judged_world, IN_DISTRIBUTION, references)
    assert collapsed["recall"] < 0.05 and collapsed["recall_floor"] == whole["recall_floor"]
    group = Group(judged_world.things.names[0], "red", 1)
    alike = [compose(rng_of(36, n), judged_world, "colors", (group,)).render() for n in range(count)]
    part = coverage(embed(judged_world.cast, alike).numpy(), judged_world, IN_DISTRIBUTION, references)
    assert part["recall"] < 0.5 * whole["recall"]

    copied = coverage(real[:count], judged_world, IN_DISTRIBUTION, references)
    assert copied["nearest"] < 0.01, "pictures of the training scenes themselves"
    assert coverage(features[:3], judged_world, IN_DISTRIBUTION, references) == {}, "too few have no neighbours"


def test_feature_scores_of_rendered_scenes_are_those_of_their_floor(judged_world):
    scenes = [sample_scene(rng_of(38, n), "two_object", "train", judged_world).render() for n in range(40)]
    found = feature_scores(judged(judged_world, scenes), judged_world, IN_DISTRIBUTION, 128)
    assert found["frechet_siglip"] > found["frechet_siglip_floor"] > 0 and found["similarity"] == pytest.approx(10)
    assert {"recall", "recall_floor", "nearest", "nearest_floor"} < set(found)
