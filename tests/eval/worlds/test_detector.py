"""The objects' detector: what a perfect network says is the scene, training and files, and the shipped weights."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

from eval.geneval.score import score_image
from eval.worlds import detector, train_detector
from eval.worlds.benchmark import SPLITS, benchmark_prompts
from eval.worlds.detector import Detector, Readings, detect, to_pixels
from eval.worlds.diversity import scene_for
from eval.worlds.train_detector import CELLS, half, loss, own_color, scenes, targets, worn
from janusflow.worlds.objects import classes
from janusflow.worlds.scenes import World, sample_scene
from janusflow.worlds.vocabulary import COLORS
from tests.eval.worlds.conftest import needs_judge
from tests.worlds.reading import held_out_scenes, rng_of, train_scenes

WORLD = World("objects", "free")


def perfect(scene):
    """What a network says that has learned its targets."""
    thing, name, color, box = targets(scene)
    logits = [
        F.one_hot(found.clamp(min=0), count).permute(2, 0, 1) * 30.0 for found, count in ((name, 66), (color, 10))
    ]
    return Readings((20.0 * (thing == 1) - 10)[None], logits[0][None], logits[1][None], box[None])


@pytest.mark.parametrize("side", [64, 100])
def test_what_is_learned_is_the_scene(side):
    for scene in (*train_scenes(WORLD)[::3], *held_out_scenes(WORLD)[::3]):
        found = detector.things(perfect(scene), 0, side)
        assert sorted(one.label for one in found) == sorted(thing.name for thing in scene.objects)
        for thing in scene.objects:
            off, one = min(
                (np.abs(np.array(one.box) - side * np.array(thing.box)).max(), one)
                for one in found
                if one.label == thing.name
            )
            assert off < 0.01 and one.score > 0.99
            own = own_color(thing.name, scene.style)
            named = thing.color or (list(COLORS)[own] if own >= 0 else one.color)
            assert one.color == named


def test_what_is_doubtful_is_not_reported_and_the_surest_comes_first():
    scene = next(scene for scene in train_scenes(WORLD) if len(scene.objects) > 2)
    readings = perfect(scene)
    assert detector.things(readings._replace(thing=torch.full_like(readings.thing, -4.0)), 0, 64) == []
    unsure = readings._replace(thing=readings.thing - 10 + torch.rand(readings.thing.shape))
    scores = [one.score for one in detector.things(unsure, 0, 64)]
    assert len(scores) == len(scene.objects) and scores == sorted(scores, reverse=True) and len(set(scores)) > 1


def test_own_colors_are_those_that_most_of_a_drawing_has():
    named = {name: own_color(name, "flat") for name in classes()}
    assert set(named.values()) <= {-1, *range(len(COLORS))} and -1 in named.values()
    assert list(COLORS)[named["orange"]] == "orange" and list(COLORS)[own_color("broccoli", "flat")] == "green"


def test_training_pictures_are_worn_scenes_by_number():
    batch, later = scenes(3, 0, 4), scenes(3, 2, 1)
    assert all(torch.equal(several[2:3], one) for several, one in zip(batch, later, strict=True))
    pixels, thing, name, color, box = batch
    assert pixels.shape == (4, 3, 64, 64) and pixels.abs().max() <= 1 and thing.shape == (4, CELLS, CELLS)
    assert (name >= 0).equal(thing == 1) and color.shape == name.shape and box.shape == (4, 4, CELLS, CELLS)
    image = sample_scene(rng_of(1), world=WORLD).render()
    for index in range(20):
        assert worn(image, rng_of(index)).size == image.size


def test_a_step_of_training_lowers_the_loss():
    torch.manual_seed(0)
    model = Detector()
    batch = scenes(0, 0, 8)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    seen = []
    for _ in range(6):
        value = loss(model, *batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        seen.append(value.item())
    assert seen[-1] < 0.8 * seen[0] and np.isfinite(seen).all()


def test_training_writes_weights_that_the_detector_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(train_detector, "BATCH", 2)
    path = tmp_path / "detector.safetensors"
    assert train_detector.main(["--steps", "2", "--out", str(path)]) == 0
    assert not path.with_suffix(".state").exists()
    assert train_detector.main(["--codec", str(tmp_path / "none"), "--out", str(path)]) == 2
    monkeypatch.setattr(detector, "FILE", path)
    detector.detector.cache_clear()
    try:
        assert len(detect([scene.render() for scene in train_scenes(WORLD)[:3]])) == 3
        state = {name: half(tensor) for name, tensor in Detector().state_dict().items()}
        save_file(state, path, metadata={"classes": json.dumps(["cat", "dog"])})
        detector.detector.cache_clear()
        with pytest.raises(ValueError, match="was trained for other things"):
            detector.detector()
    finally:
        detector.detector.cache_clear()


def test_pictures_of_any_size_are_looked_at_and_must_be_square():
    image = train_scenes(WORLD)[0].render(64)
    assert (
        to_pixels(image).shape == to_pixels(image.resize((200, 200))).shape == to_pixels(image.resize((30, 30))).shape
    )
    assert to_pixels(Image.new("RGBA", (64, 64), (255, 255, 255, 255))).min() == 1
    with pytest.raises(ValueError, match="square picture, got 64 x 32"):
        to_pixels(Image.new("RGB", (64, 32)))


# The shipped weights


def test_the_shipped_detector_reads_scenes_and_their_prompts():
    needs_judge("objects")
    prompts = [prompt for split in SPLITS for prompt in benchmark_prompts(WORLD, 12, split)]
    scenes = [scene_for(prompt, rng_of(41, number), WORLD) for number, prompt in enumerate(prompts)]
    verdicts = [
        score_image(list(reversed(found)), prompt)
        for found, prompt in zip(detect([scene.render() for scene in scenes]), prompts, strict=True)
    ]
    wrong = [verdict.reason for verdict in verdicts if not verdict.correct]
    assert len(wrong) <= 0.03 * len(prompts), wrong
    nothing = [Image.new("RGB", (64, 64), color) for color in ("black", "white", "grey")]
    assert all(one.score < 0.3 for found in detect(nothing) for one in found)


def test_the_shipped_detector_bears_blur_and_noise():
    needs_judge("objects")
    right = 0
    for index in range(120):
        scene = sample_scene(rng_of(42, index), world=WORLD)
        [found] = detect([worn(scene.render(), rng_of(43, index))])
        labels = sorted(one.label for one in found if one.score > 0.3)
        right += labels == sorted(thing.name for thing in scene.objects)
    assert right > 108
