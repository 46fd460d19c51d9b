"""Captions say the truth of every picture, in English, and of what training must not say nothing."""

import re
from collections import Counter
from functools import cache

import numpy as np
import pytest

from janusflow.worlds import captions
from janusflow.worlds.captions import long_caption, short_caption, text_line
from janusflow.worlds.scenes import Group, groups_held_out, sample_scene
from janusflow.worlds.vocabulary import NUMBER_WORDS, RELATIONS, plural
from tests.worlds.reading import (
    CELL,
    COLOR,
    NUMBER,
    OPPOSITE,
    WORLDS,
    Seen,
    box_relations,
    claim_of,
    held_out_scenes,
    look,
    phrase_pattern,
    read,
    rng_of,
    the,
    train_scenes,
)

PLACES = (captions.AROUND, captions.COLORED, captions.BETWEEN, captions.RELATED)
HELD_OUT = {form for place in PLACES for form in place.held_out}
both = pytest.mark.parametrize("world", WORLDS, ids=str)


def scenes(world):
    return (*train_scenes(world), *held_out_scenes(world))


def reading(text, scene):
    """Of a short caption, or of a long one's first sentence."""
    text = re.sub(r"^(?:this is a drawing of|an image with) ", "a photo of ", text)  # only long ones begin so
    return read(text.split(".")[0], scene.world.cast, scene.kind == "position")


def assert_true(found, scene):
    """That all that a caption says is so, and that it says of everything that it is there."""
    seen = look(scene)
    assert Counter({claim.name: claim.count for claim in found.claims}) == Counter(one.name for one in seen)
    for claim in found.claims:
        members = [one for one in seen if one.name == claim.name]
        assert all(claim.color in (None, one.color) for one in members)
        assert claim.cell is None or [one.cell for one in members] == [claim.cell]
    assert found.background in (None, scene.background.name) and found.style in (None, scene.style)
    if scene.kind == "position":
        a, b = (the(claim.name, scene) for claim in found.claims)
        assert found.relation in box_relations(a, b, 0.46)  # the oracle's boxes are a little off


@both
def test_captions_say_what_the_picture_shows(world):
    for index, scene in enumerate(scenes(world)):
        told = [short_caption(scene, rng_of(1, index, n), held_out=n == 2, exact=n == 1) for n in range(4)]
        for text in (*told, long_caption(scene, rng_of(2, index))):
            assert_true(reading(text, scene), scene)
        exact = reading(told[1], scene)
        assert not any((exact.background, exact.style, *(claim.cell or claim.bulk for claim in exact.claims))), told[1]
        if scene.kind in ("colors", "color_attr", "compound"):
            assert all(claim.color for claim in exact.claims), told[1]


@both
def test_sizes_are_those_of_the_things_that_are_called_so(world):
    said = Counter()
    for index in range(400):
        scene = sample_scene(rng_of(15, index), ("single_object", "two_object")[index % 2], world=world)
        claims = reading(short_caption(scene, rng_of(1, index)), scene).claims
        smallest, largest = world.things.sizes[len(claims)]
        sizes = {thing.name: thing.size for thing in scene.objects}
        for claim in claims:
            share = np.log(sizes[claim.name] / smallest) / np.log(largest / smallest)
            if len(claims) == 1 and claim.bulk:  # of two, both may have been made smaller
                assert share > 0.69 if claim.bulk == "large" else share < 0.31
            said[claim.bulk] += 1
        if {claim.bulk for claim in claims} == {"small", "large"}:
            small, large = sorted(claims, key=lambda claim: claim.bulk == "large")
            assert sizes[large.name] > sizes[small.name]
    assert set(said) == ({None, "small", "large"} if world.free else {None})


@both
def test_every_relation_is_told_from_both_ends(world):
    told = Counter()
    for index in range(150):
        scene = sample_scene(rng_of(13, index), "position", world=world)
        found = reading(short_caption(scene, rng_of(1, index)), scene)
        boxes = {thing.name: Seen(thing.name, thing.color, thing.box) for thing in scene.objects}
        holds = box_relations(*(boxes[claim.name] for claim in found.claims))
        assert found.relation in holds and (world.free or holds == {found.relation})
        told[found.relation, found.claims[0].name == scene.groups[0].name] += 1
    assert set(told) == {(relation, first) for relation in RELATIONS for first in (True, False)}


@both
def test_long_captions_place_everything_that_has_a_place(world):
    pattern = phrase_pattern(world.cast)
    placed = 0
    for index, scene in enumerate(scenes(world)):
        _, *rest = (sentence.strip() for sentence in long_caption(scene, rng_of(2, index)).split(".")[:-1])
        around = [sentence for sentence in rest if sentence.startswith(("the background is", "the style is"))]
        assert all(sentence.split()[-1] in (scene.background.name, scene.style) for sentence in around)
        for sentence in rest[: len(rest) - len(around)]:
            pattern_of_places = rf"(?:(?:at|in) the (?:{CELL}|picture)|, | and )+"
            who, where = re.fullmatch(rf"the (.+?) (?:is|are) ({pattern_of_places})", sentence).groups()
            found = pattern.fullmatch(who if re.match(NUMBER, who) else f"one {who}")
            claim, _ = claim_of(found, world.cast, None)
            members = [one for one in look(scene) if one.name == claim.name]
            assert len(members) == claim.count and all(claim.color in (None, one.color) for one in members), sentence
            cells = re.findall(rf"(?:at|in) the ({CELL})\b", where)
            assert len(set(cells)) == len(cells) and (not cells or set(cells) == {one.cell for one in members})
            assert cells or (where == "in the picture" and world.free), sentence
            placed += bool(cells)
        assert world.free or len(rest) - len(around) == len(scene.groups)
    assert placed > 60


@both
def test_text_lines_are_true(world):
    seen = Counter()
    pattern = phrase_pattern(world.cast)
    noun = plural(world.things.noun)
    thing = "|".join(sorted(world.things.names, key=len, reverse=True))
    for index in range(500):
        line = text_line(rng_of(3, index), world)
        if total := re.search(rf" make ({NUMBER}) {noun}\.$", line):
            claims = [claim_of(match, world.cast, None)[0] for match in pattern.finditer(line[: total.start()])]
            assert sum(claim.count for claim in claims) == NUMBER_WORDS.index(total[1]), line
            seen["sum"] += 1
        elif line.startswith("if "):
            side = rf"the ({thing}) (?:is|are) ({'|'.join(RELATIONS)}) the ({thing})"
            a, there, b, b_again, back, a_again = re.fullmatch(rf"if {side}, then {side}\.", line).groups()
            assert (a, b, back) == (a_again, b_again, OPPOSITE[there]), line
            seen["opposite"] += 1
        elif match := re.fullmatch(rf"(.+) (?:is|are) (.+), and (?:its|their) color is ({COLOR})\.", line):
            whole, bare = (claim_of(pattern.fullmatch(match[n]), world.cast, None)[0] for n in (1, 2))
            assert whole == bare._replace(color=match[3]), line
            seen["color"] += 1
    assert set(seen) == {"sum", "opposite", "color"}


# What training never says


def says_held_out(text, world):
    claims = [claim_of(match, world.cast, None)[0] for match in phrase_pattern(world.cast).finditer(text)]
    return groups_held_out(world.things, tuple({claim.name: claim.group for claim in claims}.values()))


@both
def test_training_never_says_what_is_held_out(world):
    for index, scene in enumerate(train_scenes(world)):
        for text in (short_caption(scene, rng_of(1, index)), *long_caption(scene, rng_of(2, index)).split(". ")):
            assert not says_held_out(re.sub(r"^the ", "one ", text), world), text
    for index in range(300):
        line = text_line(rng_of(3, index), world)
        if not line.startswith("if "):
            assert not says_held_out(line.split(".")[0], world), line


@cache
def constructions(world, reworded):
    """Those of 500 captions."""
    several = ((train_scenes(world)[index % 160], rng_of(4, index)) for index in range(500))
    return [reading(short_caption(scene, rng, reworded, exact=reworded), scene).forms for scene, rng in several]


@both
def test_held_out_constructions_are_said_on_request_only(world):
    for forms in constructions(world, False):
        assert not HELD_OUT & set(forms), forms
    for forms in constructions(world, True):
        assert sum(bool(set(place.held_out) & set(forms)) for place in PLACES) == 1, forms


def test_all_constructions_are_used():
    used = {
        form
        for world in WORLDS
        for reworded in (False, True)
        for forms in constructions(world, reworded)
        for form in forms
    }
    assert used == {form for place in PLACES for form in (*place.seen, *place.held_out)}


def test_plurals_articles_and_verbs():
    for one, many in {
        "knife": "knives", "sheep": "sheep", "computer mouse": "computer mice", "person": "people", "skis": "skis",
        "puppy": "puppies", "toy": "toys", "bus": "buses", "couch": "couches", "wine glass": "wine glasses",
        "toothbrush": "toothbrushes", "cross": "crosses", "box": "boxes", "cup of coffee": "cups of coffee",
    }.items():  # fmt: skip
        assert plural(one) == many
    scissors = Group("scissors", "orange", 1)
    phrases = [captions.group_phrase(scissors, True, form) for form in ("{color} {name}", "{name} in {color}")]
    assert phrases == ["orange scissors", "scissors in orange"]
    assert captions.group_phrase(Group("orange", None, 1), True) == "an orange"
    for index in range(400):
        world = WORLDS[index % len(WORLDS)]
        scene = train_scenes(world)[index % 160]
        reading(short_caption(scene, rng_of(5, index)), scene)  # checks that all agrees
