"""The shapes world says the truth: scenes, captions, questions and prompts, checked against the drawn pictures.

What is true is read off the scene's objects or off the oracle's detections, and texts are parsed here from scratch.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import numpy as np
import pytest
from janusflow.worlds.shapes.captions import long_caption, short_caption, text_line
from janusflow.worlds.shapes.questions import QUESTION_KINDS, sample_question
from janusflow.worlds.shapes.render import render
from janusflow.worlds.shapes.scenes import (
    ARRANGEMENTS,
    HELD_OUT_KINDS,
    Scene,
    SceneObject,
    relations_between,
    sample_scene,
)
from janusflow.worlds.shapes.vocabulary import (
    BACKGROUND,
    CELL_NAMES,
    COLORS,
    GENEVAL_TAGS,
    HELD_OUT_COUNTS,
    HELD_OUT_PAIRS,
    KINDS,
    NUMBER_WORDS,
    RELATIONS,
    SHAPES,
)

from eval.geneval import score as geneval
from eval.worlds.benchmark import benchmark_prompts, prompt_of
from eval.worlds.oracle import Detection, detect
from janusflow.data.config import DataConfig
from janusflow.data.sources import MixedSource

COLOR = "|".join(COLORS)
SHAPE = "|".join(SHAPES)
NOUN = rf"(?:{SHAPE})(?:es|s)?\b"
NUMBER = "|".join(NUMBER_WORDS)
RELATION = "|".join(RELATIONS)
CELL = "|".join(sorted(CELL_NAMES, key=len, reverse=True))
PHRASE = rf"\b(?P<count>an?|{NUMBER}) (?:(?P<color>{COLOR}) )?(?P<noun>{NOUN})"


def rng_of(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


@cache
def train_scenes() -> list[Scene]:
    return [sample_scene(rng_of(11, index), KINDS[index % len(KINDS)]) for index in range(280)]


@cache
def held_out_scenes() -> list[Scene]:
    return [sample_scene(rng_of(12, index), HELD_OUT_KINDS[index % 3], "held_out") for index in range(140)]


@cache
def reading(scene: Scene) -> list[Detection]:
    return detect(render(scene))


def singular(noun: str) -> str:
    return next(shape for shape in SHAPES if noun in (shape, shape + "s", shape + "es"))


def said(text: str) -> list[tuple[int, str | None, str]]:
    """Every (count, colour or None, shape) that a text names."""
    found = []
    for match in re.finditer(PHRASE, text):
        count = 1 if match["count"] in ("a", "an") else NUMBER_WORDS.index(match["count"])
        assert (match["noun"] in SHAPES) == (count == 1), f"number and noun disagree in {text!r}"
        found.append((count, match["color"], singular(match["noun"])))
    return found


def says_held_out(text: str) -> bool:
    pairs = {(match[1], singular(match[2])) for match in re.finditer(rf"\b({COLOR}) ({NOUN})", text)}
    counts = {(count, shape) for count, _, shape in said(text)}
    return bool(pairs & HELD_OUT_PAIRS or counts & HELD_OUT_COUNTS)


def shows_held_out(scene: Scene) -> bool:
    pairs = {(item.color, item.shape) for item in scene.objects}
    counts = {(number, shape) for shape, number in Counter(item.shape for item in scene.objects).items()}
    return bool(pairs & HELD_OUT_PAIRS or counts & HELD_OUT_COUNTS)


def box_relations(a: Detection, b: Detection) -> set[str]:
    """GenEval's rule, from the boxes."""
    (ax, ay), (bx, by) = (((d.box[0] + d.box[2]) / 2, (d.box[1] + d.box[3]) / 2) for d in (a, b))
    offset = np.array([ax - bx, ay - by])
    sizes = sum(np.array([d.box[2] - d.box[0], d.box[3] - d.box[1]]) for d in (a, b))
    x, y = np.sign(offset) * np.maximum(np.abs(offset) - 0.1 * sizes, 0) / np.linalg.norm(offset)
    holds = (x < -0.5, x > 0.5, y < -0.5, y > 0.5)
    return {name for name, held in zip(("left of", "right of", "above", "below"), holds, strict=True) if held}


def cell_of(detection: Detection) -> str:
    x0, y0, x1, y1 = detection.box
    return CELL_NAMES[int((y0 + y1) / 2 // 16) * 3 + int((x0 + x1) / 2 // 16)]


def the(shape: str, scene: Scene) -> Detection:
    [only] = [found for found in reading(scene) if found.shape == shape]
    return only


# Determinism


def test_a_seed_fixes_scene_and_picture() -> None:
    one, same, other = (sample_scene(rng_of(5, index)) for index in (1, 1, 2))
    assert one == same
    assert one != other
    assert render(one).tobytes() == render(same).tobytes() != render(other).tobytes()
    assert benchmark_prompts(5, seed=3) == benchmark_prompts(5, seed=3) != benchmark_prompts(5, seed=4)


# Held-out compositions


def test_train_never_shows_or_says_what_is_held_out() -> None:
    for index, scene in enumerate(train_scenes()):
        assert not shows_held_out(scene), scene
        for text in (short_caption(scene, rng_of(1, index)), long_caption(scene, rng_of(2, index))):
            assert said(text), text
            assert not says_held_out(text), text
    lines = [text_line(rng_of(3, index)) for index in range(1000)]
    source = MixedSource(DataConfig(), seed=0)
    prompts = [source.generation(index, 0.5).prompt for index in range(200)]
    assert [text for text in lines + prompts if says_held_out(text)] == []


def test_held_out_scenes_always_show_something_held_out() -> None:
    for index, scene in enumerate(held_out_scenes()):
        assert shows_held_out(scene), scene
        # A long caption says every colour and, of groups, every count.
        assert says_held_out(long_caption(scene, rng_of(2, index))), scene


def test_only_kinds_with_something_to_hold_out_exist_there() -> None:
    assert {scene.kind for scene in held_out_scenes()} == set(HELD_OUT_KINDS)
    with pytest.raises(ValueError, match="position"):
        sample_scene(rng_of(0), "position", "held_out")
    with pytest.raises(ValueError, match="pentagon"):
        sample_scene(rng_of(0), "pentagon")
    with pytest.raises(ValueError, match="smell"):
        sample_question(train_scenes()[0], rng_of(0), "smell")


# Scenes


def test_objects_never_touch_and_stay_inside() -> None:
    for scene in (*train_scenes()[:100], *held_out_scenes()[:50]):
        free = Scene("", (), (), BACKGROUND)
        paint = np.zeros((97, 97), int)  # one column and row more, to shift each mask by a pixel
        for item in scene.objects:
            alone = np.asarray(render(Scene("", (), (item,), BACKGROUND), 96), int)
            mask = np.abs(alone - np.asarray(render(free, 96), int)).sum(-1) > 15
            assert not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()), item
            for down, across in ((0, 0), (0, 1), (1, 0), (1, 1)):  # grown by a pixel, so that a gap must be there
                shifted = np.zeros_like(paint)
                shifted[down : down + 96, across : across + 96] = mask
                assert not ((paint > 0) & (shifted > 0)).any(), scene
            paint[:96, :96] |= mask
            paint[1:, 1:] |= mask


def test_groups_describe_the_objects_and_fill_an_arrangement_in_reading_order() -> None:
    orders = set()
    for scene in (*train_scenes(), *held_out_scenes()):
        groups = Counter({(group.shape, group.color): group.count for group in scene.groups})
        assert groups == Counter((item.shape, item.color) for item in scene.objects)
        assert len({group.shape for group in scene.groups}) == len(scene.groups)
        assert groups == Counter((found.shape, found.color) for found in reading(scene))
        cells = [item.cell for item in scene.objects]
        assert tuple(sorted(cells)) in ARRANGEMENTS[len(cells)]
        assert scene.kind == "position" or cells == sorted(cells)
        orders |= {cells == sorted(cells)} if scene.kind == "position" else set()
    assert orders == {True, False}, "a relation holds in both directions"


# Captions


def test_captions_say_what_the_picture_shows() -> None:
    for index, scene in enumerate((*train_scenes(), *held_out_scenes())):
        shapes = Counter(found.shape for found in reading(scene))
        colors = {found.shape: found.color for found in reading(scene)}
        for text in (short_caption(scene, rng_of(1, index)), long_caption(scene, rng_of(2, index))):
            claims = said(text.split(".")[0])
            assert Counter({shape: count for count, _, shape in claims}) == shapes, text
            assert all(color in (None, colors[shape]) for _, color, shape in claims), text


def test_every_relation_in_a_caption_holds() -> None:
    seen = Counter()
    for index in range(120):
        scene = sample_scene(rng_of(13, index), "position")
        for text in (short_caption(scene, rng_of(1, index)), long_caption(scene, rng_of(2, index))):
            [relation] = re.findall(rf"\b({RELATION})\b", text)
            (_, _, first), (_, _, second) = said(text.split(".")[0])
            assert box_relations(the(first, scene), the(second, scene)) == {relation}, text
            seen[relation] += 1
    assert set(seen) == set(RELATIONS)


@pytest.mark.parametrize(
    ("dx", "dy", "expected"),
    [(0.3, 0.0, ["right of"]), (-0.3, 0.1, ["left of"]), (0.0, 0.3, ["below"]), (0.05, -0.3, ["above"]),
     (0.3, 0.3, ["right of", "below"]), (0.10, 0.02, []), (0.0, 0.0, [])],
)  # fmt: skip
def test_the_rule_for_relations(dx: float, dy: float, expected: list[str]) -> None:
    # At (0.10, 0.02) the slack decides: without it the offset would count as "right of".
    a, b = (SceneObject("ring", "red", (0, 0, 0), 0.5 + x, 0.5 + y, 0.25, 4) for x, y in ((dx, dy), (0, 0)))
    assert relations_between(a, b) == expected


def test_long_captions_place_everything() -> None:
    for index, scene in enumerate((*train_scenes(), *held_out_scenes())):
        _, *places = long_caption(scene, rng_of(2, index)).removesuffix(".").split(".")
        assert len(places) == len({found.shape for found in reading(scene)})
        for sentence in places:
            who, where = re.split(r" (?:is|are) ", sentence.strip())
            color, noun = re.findall(rf"({COLOR}) ({NOUN})", who)[0]
            members = [f for f in reading(scene) if (f.color, f.shape) == (color, singular(noun))]
            assert Counter(re.findall(rf"(?:at|in) the ({CELL})", where)) == Counter(map(cell_of, members)), sentence


def test_text_lines_are_true() -> None:
    seen = Counter()
    mirror = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
    for index in range(500):
        line = text_line(rng_of(3, index))
        if total := re.search(rf"make ({NUMBER}) shapes\.$", line):
            assert sum(count for count, _, _ in said(line)) == NUMBER_WORDS.index(total[1]), line
            seen["sum"] += 1
        elif line.startswith("if "):
            pattern = (
                rf"if the ({SHAPE}) is ({RELATION}) the ({SHAPE}), then the ({SHAPE}) is ({RELATION}) the ({SHAPE})\."
            )
            a, there, b, b_again, back, a_again = re.fullmatch(pattern, line).groups()
            assert (a, b, back) == (a_again, b_again, mirror[there]), line
            seen["opposite"] += 1
        elif match := re.search(rf"its color is ({COLOR})\.$", line):
            [(_, color, shape), (_, _, same)] = said(line)
            assert (color, shape) == (match[1], same), line
            seen["color"] += 1
    assert set(seen) == {"sum", "opposite", "color"}


# Questions


def answer_of(text: str, scene: Scene) -> str:
    """The answer that the oracle's reading of the picture gives, found by parsing the question."""
    found = reading(scene)
    if text in ("what shape is in the picture?", "which shape is this?", "what shape do you see?"):
        return unique(f.shape for f in found)
    if match := re.fullmatch(rf"(?:what|which) shape is ({COLOR})\?", text):
        return unique(f.shape for f in found if f.color == match[1])
    if match := re.fullmatch(rf"what shape is at the ({CELL})\?", text):
        return unique(f.shape for f in found if cell_of(f) == match[1])
    if match := re.fullmatch(rf"(?:what|which) colou?r (is|are) the ({NOUN})\?", text):
        members = [f for f in found if f.shape == singular(match[2])]
        assert (len(members) == 1) == (match[1] == "is") == (match[2] in SHAPES)
        return unique(f.color for f in members)
    if match := re.fullmatch(rf"how many (shapes|{NOUN}) (?:are there|are in the picture|do you see)\?", text):
        return NUMBER_WORDS[sum(match[1] == "shapes" or f.shape == singular(match[1]) for f in found)]
    if match := re.fullmatch(
        rf"(?:where is the ({SHAPE}) relative to|on which side is the ({SHAPE}) of) the ({SHAPE})\?", text
    ):
        return unique(box_relations(the(match[1] or match[2], scene), the(match[3], scene))).removesuffix(" of")
    if match := re.fullmatch(rf"where (?:in the picture )?is the ({SHAPE})\?", text):
        return cell_of(the(match[1], scene))
    if match := re.fullmatch(rf"is there anything at the ({CELL})\?", text):
        return "yes" if any(cell_of(f) == match[1] for f in found) else "no"
    if match := re.fullmatch(rf"(?:is there|do you see) (an?) (({COLOR}) ({SHAPE}))(?: in the picture)?\?", text):
        assert (match[1] == "an") == (match[2][0] in "aeiou")
        return "yes" if any((f.color, f.shape) == (match[3], match[4]) for f in found) else "no"
    raise AssertionError(f"no rule for the question {text!r}")


def unique(values) -> str:
    [value] = set(values)
    return value


@pytest.mark.parametrize("kind", QUESTION_KINDS)
def test_every_answer_is_right(kind: str) -> None:
    answers = Counter()
    for index, scene in enumerate((*train_scenes(), *held_out_scenes())):
        rng = rng_of(4, index)
        for _ in range(3):
            question = sample_question(scene, rng, kind)
            assert question.kind == kind
            assert question.answer == answer_of(question.text, scene), (question, scene)
            answers[question.answer] += 1
    expected = {
        "shape": set(SHAPES), "color": set(COLORS), "count": set(NUMBER_WORDS), "exists": {"yes", "no"},
        # No object that stands alone in its group is ever in the other two corners (see ARRANGEMENTS).
        "where": {"left", "right", "above", "below", "yes", "no", *CELL_NAMES} - {"top right", "bottom left"},
    }  # fmt: skip
    assert set(answers) == expected[kind]
    if kind == "exists":
        assert 0.4 < answers["yes"] / answers.total() < 0.6


# Benchmark prompts


@pytest.mark.parametrize(("split", "tags"), [("train", GENEVAL_TAGS), ("held_out", HELD_OUT_KINDS)])
def test_benchmark_prompts_have_all_tags_and_only_their_split(split: str, tags: tuple[str, ...]) -> None:
    prompts = benchmark_prompts(40, split)
    assert Counter(prompt["tag"] for prompt in prompts) == Counter(dict.fromkeys(tags, 40))
    for prompt in prompts:
        geneval.check_prompt(prompt)
        assert says_held_out(prompt["prompt"]) == (split == "held_out"), prompt
        wanted = {(entry["count"], entry.get("color"), entry["class"]) for entry in prompt["include"]}
        assert set(said(prompt["prompt"])) == wanted, prompt
        excluded = [(entry["class"], entry["count"]) for entry in prompt.get("exclude", ())]
        counts = [(entry["class"], entry["count"] + 1) for entry in prompt["include"]]
        assert excluded == (counts if prompt["tag"] == "counting" else []), prompt


@pytest.mark.parametrize("tag", GENEVAL_TAGS)
def test_the_scene_of_a_prompt_passes_geneval_and_others_do_not(tag: str) -> None:
    scenes = [sample_scene(rng_of(14, index), tag) for index in range(60)]
    seen = [[geneval.Detection(f.shape, f.score, f.box, f.color) for f in reading(scene)] for scene in scenes]
    wrong = 0
    for index, scene in enumerate(scenes):
        prompt = prompt_of(scene, rng_of(6, index))
        verdict = geneval.score_image(seen[index], prompt)
        assert verdict.correct, (prompt, verdict.reason)
        wrong += not geneval.score_image(seen[index - 1], prompt).correct
    assert wrong > 30
