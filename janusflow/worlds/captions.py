"""Captions of scenes, short and long, and text-only lines about a world.

A short caption is built of constructions at three places: around the whole claim, around each group, and between two
groups. Some constructions of each place are held out: training never shows them, :func:`short_caption` draws them on
request. Everything is lower case with American and British spellings of "color"; the tokenizer lower-cases what users
type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from janusflow.worlds.scenes import Group, Scene, World, sample_scene
from janusflow.worlds.vocabulary import (
    CELL_NAMES,
    NUMBER_WORDS,
    OPPOSITE,
    indefinite,
    is_plural,
    plural,
    verb,
    with_article,
)

T = TypeVar("T")

COLOR_SHARE = 0.7  # of the claims that would be complete without colours
USUAL = 0.4  # of the captions whose constructions are the plainest, GenEval's own
EXTRA = 0.12  # how often a free scene's caption adds each of: a size, a place, the background, the style
NAIVE = 0.15  # of the odd plurals and articles: formed as GenEval forms them ("sheeps", "a scissors")
DIGITS = 0.2  # of the numbers
SYNONYMS = 0.12  # of the names that have some
ADJECTIVES = ("nice", "pretty", "lovely", "simple", "single", "beautiful", "plain", "cute", "good")
ADJECTIVE_SHARE = 0.1


ALONE = "="  # in front of a construction that is a sentence: nothing goes around it


@dataclass(frozen=True)
class Forms:
    """Constructions at one place: the first is the plainest; training never shows those held out."""

    seen: tuple[str, ...]
    held_out: tuple[str, ...]


AROUND = Forms(  # "{}" is the claim; "{are}", "{stands}", "{it}" and "{its}" agree with what they are said of
    (
        "a photo of {}", "{}", "a picture of {}", "an image of {}", "a drawing of {}", "a photograph of {}",
        "a photo with {}", "a picture with {}", "a picture showing {}", "an image that shows {}", "a sketch of {}",
        "an illustration of {}", "an illustration with {}", "a painting of {}", "a scene with {}", "a view of {}",
        "a snapshot of {}", "a close-up of {}", "the picture shows {}", "the image shows {}", "this picture has {}",
        "this is {}", "here {are} {}", "here we see {}", "we see {}", "i see {}", "there {are} {}",
        "there {are} {} here", "there {are} {} in the picture", "draw {}", "draw me {}", "please draw {}", "show {}",
        "show me {}", "make {}", "make a picture of {}", "please make a picture of {}", "create {}", "generate {}",
        "give me {}", "put {} here", "place {} in the picture", "add {}", "i want {}", "i want to see {}",
        "i would like {}", "i would like to see {}", "i need {}", "we need {}", "let me see {}", "let there be {}",
        "could you draw {}?", "can i have {}?", "can you show me {}?", "could i get {}?", "may i see {}?",
        "{} please", "{}, please", "{} on {its} own", "just {}", "simply {}", "only {}", "only {}, nothing else",
        "{} and nothing else", "nothing but {}", "{} in the picture", "{} on a plain background",
        "a simple picture of {}", "my drawing shows {}", "one can see {}",
    ),
    ("can you paint {}?", "imagine {}", "this photograph contains {}", "what about {}?"),
)  # fmt: skip
COLORED = Forms(  # of one group, behind its article or number
    (
        "{color} {name}", "{color} colored {name}", "{color} coloured {name}", "{name} in {color}",
        "{name} colored {color}", "{name} coloured {color}", "{name} of {color} color", "{name} of the color {color}",
        "{name} with {color} color", "{name} that {are} {color}", "{name} which {are} {color}",
        "{name} in the color {color}", "{name}, {color}", "{name} ({color})", "{name} shown in {color}",
        "{name} drawn in {color}", "{name} made {color}", "{name}, all {color}",
    ),
    ("{name} whose color is {color}", "{name} painted {color}"),
)  # fmt: skip
BETWEEN = Forms(
    (
        "{a} and {b}", "{a} with {b}", "{a} together with {b}", "{a} along with {b}", "{a} next to {b}",
        "{a} beside {b}", "{a} by {b}", "{a} near {b}", "{a} and also {b}", "both {a} and {b}", "{a}, and {b} too",
        "{a} as well as {b}", "{a}, {b}", "{a} & {b}", "{a}; {b}", "{a}, then {b}", "{a} and next to {it} {b}",
        "{a}, beside {it} {b}", "=next to {a}, {b}", "=near {a} there {are} {b}", "=together with {a}, {b}",
        "=along with {a} we see {b}", "={a} {stands} next to {b}", "={a} can be seen beside {b}",
    ),
    ("{a} accompanied by {b}", "=beside {a} there {are} {b}", "{a} plus {b}"),
)  # fmt: skip
RELATED = Forms(  # "{relation}" leads from b to a
    (
        "{a} {relation} {b}", "={relation} {b}, {a}", "={relation} {b} there {are} {a}", "={relation} {b} we see {a}",
        "{a} which {are} {relation} {b}", "{a} that {stands} {relation} {b}", "{a} placed {relation} {b}",
        "{a}, {relation} {b}", "{b} with {a} {side}", "{b} and {a} {side}", "{b}, {side} {a}",
        "{a} {at} and {b} {opposite}", "{a} {at}, {b} {opposite}", "={a} {are} {relation} {b}",
        "={a} {stands} {relation} {b}", "={a} should be {relation} {b}", "={at} {a}, {opposite} {b}",
    ),
    ("={b} has {a} {side}", "=look {relation} {b} to find {a}"),
)  # fmt: skip
RELATION_WORDS = {
    "left of": ("left of", "to the left of", "on the left of", "on the left side of"),
    "right of": ("right of", "to the right of", "on the right of", "on the right side of"),
    "above": ("above", "over", "higher than"),
    "below": ("below", "under", "beneath", "underneath", "lower than"),
}
SIDES = {"left of": "on its left", "right of": "on its right", "above": "above it", "below": "below it"}
ENDS = {"left of": "on the left", "right of": "on the right", "above": "at the top", "below": "at the bottom"}
SMALL, LARGE = ("small", "little"), ("large", "big")
GROUNDS = ("{} on {a_name} background", "{} against {a_name} background", "{}, the background is {name}")
STYLED = {
    "3d": ("{} in 3d style", "{} as a 3d rendering"),
    "flat": ("{} in flat style", "{} as a flat drawing"),
    "cartoon": ("{} in cartoon style", "{} as a cartoon"),
}
AMOUNTS = ("exactly {}", "a group of {}", "a set of {}", "a total of {}", "just {}", "some {}")
PAIRS = ("a pair of", "a couple of")
LONG = ("the picture shows {}.", "there {are} {}.", "{}.", "an image with {}.", "this is a drawing of {}.")


def group_phrase(
    group: Group, with_color: bool, form: str = COLORED.seen[0], number: str | None = None, name: str | None = None
) -> str:
    """``"a red circle"``, ``"three stars"``: one group, with or without its colour.

    form: of :data:`COLORED`; number: in place of its word; name: in place of its name, singular
    """
    one = group.count == 1
    noun = name or group.name
    noun = noun if one else plural(noun)
    words = noun
    if with_color and group.color is not None:
        words = form.format(color=group.color, name=noun, are=be(group))
    if one:
        return words if is_plural(noun) else with_article(words)
    return f"{number or NUMBER_WORDS[group.count]} {words}"


def be(group: Group) -> str:
    """``"is"`` or ``"are"``."""
    return verb(group.name, group.count)


def agreeing(group: Group, many: bool = False) -> dict[str, str]:
    """The words that agree with a group, or with several (``many``)."""
    one = be(group) == "is"
    its = "its" if one and not many else "their"
    return {"are": be(group), "stands": "stands" if one else "stand", "it": "it" if one else "them", "its": its}


def claim(scene: Scene, with_color: bool, relation: str | None = None) -> str:
    """What a caption says of the scene, plainly: its groups, joined by "and" or by ``relation`` of the first two."""
    phrases = [group_phrase(group, with_color) for group in scene.groups]
    return f" {relation} ".join(phrases) if relation is not None else " and ".join(phrases)


def short_caption(scene: Scene, rng: np.random.Generator, held_out: bool = False, exact: bool = False) -> str:
    """One phrase, such as ``"a photo of a red circle"``.

    held_out: one of its constructions is one that training never shows
    exact: it says what its kind of scene is about and nothing else, as a benchmark's prompt does
    """
    return Teller(scene, rng, held_out, exact).caption()


class Teller:
    """Makes the choices of one short caption."""

    def __init__(self, scene: Scene, rng: np.random.Generator, held_out: bool, exact: bool) -> None:
        self.scene, self.rng = scene, rng
        self.relation = pick(rng, scene.relations()) if scene.kind == "position" else None
        told = scene.kind in ("colors", "color_attr") or (exact and scene.kind == "compound")
        self.with_color = told or (not exact and bool(rng.random() < COLOR_SHARE))
        self.more = scene.world.free and not exact  # it may say more than it must
        self.usual = held_out or bool(rng.random() < USUAL)
        self.joined = RELATED if self.relation else BETWEEN
        places = [AROUND, *[COLORED] * self.with_color, *[self.joined] * (len(scene.groups) > 1)]
        self.held = pick(rng, places) if held_out else None

    def form(self, place: Forms) -> str:
        """One of the constructions of a place."""
        return pick(self.rng, place.held_out if place is self.held else place.seen[:1] if self.usual else place.seen)

    def caption(self) -> str:
        """The caption."""
        scene, rng = self.scene, self.rng
        said, first = self.claim()
        if self.more and rng.random() < EXTRA:
            name = scene.background.name
            said = pick(rng, GROUNDS).format(said, name=name, a_name=indefinite(name))
        if self.more and scene.style and rng.random() < EXTRA:
            said = pick(rng, STYLED[scene.style]).format(said)
        if said.startswith(ALONE):
            return said.removeprefix(ALONE)
        return self.form(AROUND).format(said, **agreeing(first, many=len(scene.groups) > 1))

    def claim(self) -> tuple[str, Group]:
        """All groups; and the first that is named."""
        said = [(self.phrase(number), group) for number, group in enumerate(self.scene.groups)]
        if len(said) == 1:
            return said[0]
        if self.relation:
            return self.related(*said)
        if self.scene.world.free and self.rng.random() < 0.5:
            said.reverse()
        (a, first), (b, second) = said
        return self.form(BETWEEN).format(a=a, b=b, **{**agreeing(first), "are": be(second)}), first

    def phrase(self, number: int) -> str:
        """One group."""
        scene, rng = self.scene, self.rng
        group = scene.groups[number]
        form = self.form(COLORED)
        if self.usual and not self.more:
            return group_phrase(group, self.with_color, form)
        names = scene.world.things.synonyms.get(group.name, ())
        name = pick(rng, names) if names and rng.random() < SYNONYMS else group.name
        said = group_phrase(group, self.with_color, form, self.number(group), name)
        if group.count > 1:
            return said.replace(plural(name), name + "s") if rng.random() < NAIVE else said
        if is_plural(name) and rng.random() < NAIVE:
            said = with_article(said)
        thing = scene.members(number)[0]
        if self.more and thing.bulk and rng.random() < EXTRA:
            said = described(said, pick(rng, SMALL if thing.bulk == "small" else LARGE))
        elif not self.usual and rng.random() < ADJECTIVE_SHARE:
            said = described(said, pick(rng, ADJECTIVES))
        if self.more and thing.cell is not None and not self.relation and rng.random() < EXTRA:
            said = f"{said} {place_phrase(thing.cell)}"
        return said

    def number(self, group: Group) -> str:
        """How many there are."""
        rng = self.rng
        words = str(group.count) if rng.random() < DIGITS else NUMBER_WORDS[group.count]
        if self.usual or rng.random() >= DIGITS:
            return words
        paired = group.count == 2 and not is_plural(group.name)  # a pair of scissors is one
        return pick(rng, PAIRS) if paired and rng.random() < 0.5 else pick(rng, AMOUNTS).format(words)

    def related(self, one: tuple[str, Group], other: tuple[str, Group]) -> tuple[str, Group]:
        """Two groups and their relation, told from either end; and the first that is named."""
        rng, relation = self.rng, self.relation
        assert relation is not None
        words = relation
        if not self.usual:
            if rng.random() < 0.5:
                one, other, relation = other, one, OPPOSITE[relation]
            words = pick(rng, RELATION_WORDS[relation])
        (a, first), (b, second) = one, other
        form = self.form(RELATED)
        ends = {"at": ENDS[relation], "opposite": ENDS[OPPOSITE[relation]]}
        said = form.format(a=a, b=b, relation=words, side=SIDES[relation], **agreeing(first), **ends)
        return said, second if form.startswith("{b}") else first


def described(phrase: str, adjective: str) -> str:
    """``phrase`` with an adjective behind its article."""
    for article in ("a ", "an "):
        if phrase.startswith(article):
            return indefinite(f"{adjective} {phrase.removeprefix(article)}")
    return f"{adjective} {phrase}"


def long_caption(scene: Scene, rng: np.random.Generator) -> str:
    """Two to four sentences: the claim, then where things are, in which colour; of free scenes also the background."""
    relation = pick(rng, scene.relations()) if scene.kind == "position" else None
    said = claim(scene, bool(rng.random() < COLOR_SHARE), relation)
    first = pick(rng, LONG).format(said, are=be(scene.groups[0]))
    rest = [_placement(scene, index) for index in range(len(scene.groups))]
    if scene.world.free and rng.random() < 0.5:
        rest.append(f"the background is {scene.background.name}.")
    if scene.style and rng.random() < 0.5:
        rest.append(f"the style is {scene.style}.")
    return " ".join([first, *filter(None, rest)])


def _placement(scene: Scene, index: int) -> str:
    group = scene.groups[index]
    cells = [thing.cell for thing in scene.members(index)]
    color = f"{group.color} " if group.color else ""
    many = f"{NUMBER_WORDS[group.count]} {color}{plural(group.name)}"
    subject = f"the {color + group.name if group.count == 1 else many} {be(group)}"
    clear = sorted({cell for cell in cells if cell is not None})
    if None in cells or not clear:  # some thing is in no one place
        return f"{subject} in the picture." if group.color else ""
    places = [place_phrase(cell) for cell in clear]
    where = places[0] if len(places) == 1 else ", ".join(places[:-1]) + " and " + places[-1]
    return f"{subject} {where}."


def place_phrase(cell: int) -> str:
    """``"at the top left"``."""
    name = CELL_NAMES[cell]
    return f"in the {name}" if name == "center" else f"at the {name}"


def text_line(rng: np.random.Generator, world: World) -> str:
    """A line of text-only data: arithmetic of counts, opposites of relations, colours."""
    scene = sample_scene(rng, ("position", "compound", "color_attr")[rng.integers(3)], world=world)
    one, two = scene.groups
    topic = rng.integers(4)
    if topic == 0:
        total = NUMBER_WORDS[one.count + two.count]
        return f"{group_phrase(one, True)} and {group_phrase(two, True)} make {total} {plural(world.things.noun)}."
    if topic == 1 and scene.kind == "position":
        relation = pick(rng, scene.relations())
        a, b = one.name, two.name
        return f"if the {a} {be(one)} {relation} the {b}, then the {b} {be(two)} {OPPOSITE[relation]} the {a}."
    if topic == 2 and one.color:
        single = Group(one.name, one.color, 1)
        its = "their" if is_plural(one.name) else "its"
        return f"{group_phrase(single, True)} {be(single)} {indefinite(one.name)}, and {its} color is {one.color}."
    return long_caption(scene, rng)


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of ``options``, all equally likely."""
    return options[int(rng.integers(len(options)))]
