"""The tests' own eyes: what is in a picture, and what a caption says, parsed from scratch.

What is there is read off the rendered picture by the oracle, of shapes; of objects it is the scene's things, whose
boxes are checked against the pixels in ``test_scenes``.
"""

import re
from functools import cache
from typing import NamedTuple

import numpy as np

from eval.worlds.oracle import detect
from janusflow.worlds import captions
from janusflow.worlds.casts import CASTS, Box, cast_of
from janusflow.worlds.placement import LEVELS
from janusflow.worlds.scenes import Group, Scene, World, held_out_kinds, sample_scene
from janusflow.worlds.vocabulary import BACKGROUNDS, CELL_NAMES, COLORS, KINDS, NUMBER_WORDS, plural

WORLDS = [World(cast, level) for cast in CASTS.own for level in LEVELS]
COLOR = "|".join(COLORS)
NUMBER = "|".join(NUMBER_WORDS)
CELL = "|".join(sorted(CELL_NAMES, key=len, reverse=True))
GROUND = "|".join(BACKGROUNDS)
NO_SINGULAR = ("skis", "scissors")
RELATION_OF = {
    **dict.fromkeys(("left of", "to the left of", "on the left of", "on the left side of"), "left of"),
    **dict.fromkeys(("right of", "to the right of", "on the right of", "on the right side of"), "right of"),
    **dict.fromkeys(("above", "over"), "above"),
    **dict.fromkeys(("below", "under", "beneath", "underneath"), "below"),
    **{"on its left": "left of", "on its right": "right of", "above it": "above", "below it": "below"},
    **{"on the left": "left of", "on the right": "right of", "at the top": "above", "at the bottom": "below"},
}
RELATION = "|".join(sorted(RELATION_OF, key=len, reverse=True))
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def rng_of(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


@cache
def train_scenes(world: World, count: int = 160) -> list[Scene]:
    return [sample_scene(rng_of(11, index), KINDS[index % len(KINDS)], world=world) for index in range(count)]


@cache
def held_out_scenes(world: World, count: int = 60) -> list[Scene]:
    kinds = held_out_kinds(world.things)
    return [sample_scene(rng_of(12, index), kinds[index % len(kinds)], "held_out", world) for index in range(count)]


# Pictures


class Seen(NamedTuple):
    """A thing in a picture; colour None: its own; box over the picture's side."""

    name: str
    color: str | None
    box: Box

    @property
    def center(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def cell(self) -> str:
        """Where its centre is."""
        x, y = self.center
        return CELL_NAMES[3 * int(3 * y) + int(3 * x)]

    def reaches(self, cell: str) -> bool:
        """Into that cell, by half a pixel of a small picture or more."""
        row, column = divmod(CELL_NAMES.index(cell), 3)
        x0, y0, x1, y1 = (3 * edge for edge in self.box)
        return min(column + 1 - x0, x1 - column, row + 1 - y0, y1 - row) > 0.03


@cache
def look(scene: Scene) -> list[Seen]:
    """What is in a scene's picture."""
    if scene.world.cast == "shapes":
        side = scene.world.things.image_size
        return [Seen(d.shape, d.color, tuple(edge / side for edge in d.box)) for d in detect(scene.render())]
    return [Seen(thing.name, thing.color, thing.box) for thing in scene.objects]


def the(name: str, scene: Scene) -> Seen:
    [only] = [one for one in look(scene) if one.name == name]
    return only


def box_relations(a: Seen, b: Seen, least: float = 0.5) -> set[str]:
    """GenEval's rule, from the boxes; ``least``: of a direction's component."""
    offset = np.subtract(a.center, b.center)
    sides = sum(np.array([one.box[2] - one.box[0], one.box[3] - one.box[1]]) for one in (a, b))
    x, y = np.sign(offset) * np.maximum(np.abs(offset) - 0.1 * sides, 0) / np.linalg.norm(offset)
    holds = {"left of": x < -least, "right of": x > least, "above": y < -least, "below": y > least}
    return {name for name, held in holds.items() if held}


# Captions


class Claim(NamedTuple):
    """What a caption says of one group."""

    count: int
    name: str
    color: str | None
    bulk: str | None
    cell: str | None

    @property
    def group(self) -> Group:
        return Group(self.name, self.color, self.count)


class Reading(NamedTuple):
    """A caption taken apart. relation: of the first claim to the second; forms: the constructions it is made of."""

    claims: list[Claim]
    relation: str | None
    background: str | None
    style: str | None
    forms: list[str]


@cache
def nouns(cast: str) -> dict[str, tuple[str, bool | None]]:
    """Every noun -> the thing that it names, and whether it is a plural; None: either."""
    things, found = cast_of(cast), {}
    for name in things.names:
        for noun in (name, *things.synonyms.get(name, ())):
            found |= {noun + "s": (name, True), plural(noun): (name, True), noun: (name, False)}
            if noun == plural(noun):
                found[noun] = (name, None)
    return found


@cache
def phrase_pattern(cast: str) -> re.Pattern:
    noun = "|".join(sorted(nouns(cast), key=len, reverse=True))
    adjective = "|".join((*captions.SMALL, *captions.LARGE, *captions.ADJECTIVES))
    colored = [f"(?P<color{n}>{COLOR})" for n in range(6)]
    bare = rf"(?:(?:{adjective}) )?(?:(?:{COLOR})(?: colored)? )?(?:{'|'.join(NO_SINGULAR)})\b"
    return re.compile(
        rf"\b(?:(?P<count>an?|(?:exactly |a group of )?(?:{NUMBER}|[1-5])|a pair of) |(?={bare}))"
        rf"(?:(?P<adjective>{adjective}) )?(?:{colored[0]}(?P<colored> colored)? )?(?P<noun>{noun})\b"
        rf"(?: in {colored[1]}\b| of {colored[2]} color"
        rf"| that (?P<are>is|are) {colored[3]}\b| whose color is {colored[4]}\b| painted {colored[5]}\b)?"
    )


def claim_of(match: re.Match, cast: str, cell: str | None) -> tuple[Claim, str | None]:
    """What a phrase says, and the construction of its colour. Number, noun, article and verb must agree."""
    name, many = nouns(cast)[match["noun"]]
    counted = (match["count"] or "a").removeprefix("exactly ").removeprefix("a group of ")
    amounts = {"a": 1, "an": 1, "a pair of": 2, **{word: number for number, word in enumerate(NUMBER_WORDS)}}
    count = int(counted) if counted.isdigit() else amounts[counted]
    assert many in (None, count > 1), f"number and noun disagree in {match[0]!r}"
    if match["count"] in ("a", "an"):
        assert (match["count"] == "an") == (match[0].split()[1][0] in "aeiou"), match[0]
    assert match["are"] in (None, "is" if count == 1 and name not in NO_SINGULAR else "are"), match[0]
    found = [number for number in range(6) if match[f"color{number}"]]
    form = captions.COLORED.seen[1] if match["colored"] else None
    if found and form is None:
        form = [captions.COLORED.seen[0], *captions.COLORED.seen[2:], *captions.COLORED.held_out][found[0]]
    bulks = dict.fromkeys(captions.SMALL, "small") | dict.fromkeys(captions.LARGE, "large")
    color = match[f"color{found[0]}"] if found else None
    return Claim(count, name, color, bulks.get(match["adjective"]), cell), form


def read(caption: str, cast: str, position: bool = False) -> Reading:
    """A short caption, or the first sentence of a long one. ``position``: it is about a relation."""
    on_ground = rf" (?:on|against) (?:an (?=[aeiou])|a (?![aeiou]))({GROUND}) background"
    text, ground = taken(rf"{on_ground}|, the background is ({GROUND})", caption)
    text, style = taken(r" in (3d|flat|cartoon) style| as a (3d|flat|cartoon)(?: rendering| drawing)?\b", text)
    claims, forms = [], []

    def replaced(match: re.Match) -> str:
        claim, form = claim_of(match, cast, match["cell"] if not position else None)
        claims.append(claim)
        forms.extend([form] * (form is not None))
        return "#" + (match["place"] or "" if position else "")

    place = rf"(?P<place> (?:at|in) the (?P<cell>{CELL}))?"
    skeleton = re.sub(phrase_pattern(cast).pattern + place, replaced, text)
    check_verbs(skeleton, claims)
    around, between, relation = taken_apart(skeleton, position)
    return Reading(claims, relation, ground, style, [*forms, *filter(None, (around, between))])


def check_verbs(skeleton: str, claims: list[Claim]) -> None:
    """That "is" and "are" agree with what they stand in front of, or behind with "which"."""
    for match in re.finditer(r"\b(?P<verb>is|are) (?=both #|#)|# which (?P<other>is|are) ", skeleton):
        claim = claims[skeleton[: match.start()].count("#")]
        many = claim.count > 1 or claim.name in NO_SINGULAR
        assert (match["verb"] or match["other"]) == ("are" if many else "is"), skeleton


def taken(pattern: str, text: str) -> tuple[str, str | None]:
    """The text without what the pattern finds, and that."""
    found = re.search(pattern, text)
    if found is None:
        return text, None
    return text[: found.start()] + text[found.end() :], next(filter(None, found.groups()))


def taken_apart(skeleton: str, position: bool) -> tuple[str | None, str | None, str | None]:
    """The constructions around the claim and between two groups, and the relation of the first to the second.

    ``skeleton``: the caption with "#" in place of each group.
    """
    joining = captions.RELATED if position else captions.BETWEEN
    for form in [*joining.seen, *joining.held_out] * (skeleton.count("#") > 1):
        inner = rf"(?P<inner>{pattern_of(form.removeprefix(captions.ALONE))})"
        alone = form.startswith(captions.ALONE)
        for around in [None] if alone else [*captions.AROUND.seen, *captions.AROUND.held_out]:
            found = re.fullmatch(inner if around is None else pattern_of(around, inner), skeleton)
            if found:
                return around, form, relation_of(form, found["inner"]) if position else None
    for around in (*captions.AROUND.seen, *captions.AROUND.held_out):
        if re.fullmatch(pattern_of(around, "#"), skeleton):
            return around, None, None
    raise AssertionError(f"no construction is {skeleton!r}")


def pattern_of(form: str, claim: str = "#") -> str:
    """The pattern of a construction."""
    words = {"": claim, "a": "#", "b": "#", "are": "(?:is|are)"}
    pieces = re.split(r"{(\w*)}", form)
    filled = [re.escape(piece) if n % 2 == 0 else words.get(piece, f"(?:{RELATION})") for n, piece in enumerate(pieces)]
    return "".join(filled)


def relation_of(form: str, inner: str) -> str:
    """The relation of the first thing that a construction names to the second."""
    first, *more = (RELATION_OF[word] for word in re.findall(rf"\b(?:{RELATION})\b", inner))
    if "opposite" in form:
        assert more == [OPPOSITE[first]], inner
        return first
    assert not more, inner
    told_of_first = re.match(r"#(?: which (?:is|are)| that stands)? (?!with|has)", inner)
    return first if told_of_first else OPPOSITE[first]
