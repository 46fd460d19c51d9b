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
WORDS = {  # of a relation: to what follows
    **dict.fromkeys(("left of", "to the left of", "on the left of", "on the left side of"), "left of"),
    **dict.fromkeys(("right of", "to the right of", "on the right of", "on the right side of"), "right of"),
    **dict.fromkeys(("above", "over", "higher than"), "above"),
    **dict.fromkeys(("below", "under", "beneath", "underneath", "lower than"), "below"),
}
SIDES = {"on its left": "left of", "on its right": "right of", "above it": "above", "below it": "below"}
ENDS = {"on the left": "left of", "on the right": "right of", "at the top": "above", "at the bottom": "below"}
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
    amount = "|".join(form.replace("{}", f"(?:{NUMBER}|[1-5])") for form in ("{}", *captions.AMOUNTS))
    colored = [re.escape(form).replace(r"\{color\}", f"(?P<color{n}>{COLOR})") for n, form in enumerate(COLORED)]
    colored = [form.replace(r"\{are\}", f"(?P<are{n}>is|are)") for n, form in enumerate(colored)]
    before = [form.removesuffix(r"\{name\}") for form in colored if form.endswith(r"\{name\}")]
    behind = [form.removeprefix(r"\{name\}") for form in colored if form.startswith(r"\{name\}")]
    assert len(before) + len(behind) == len(colored)
    scissors = "|".join(NO_SINGULAR)
    bare = rf"(?:(?:{adjective}) )?(?:(?:{COLOR})(?: colou?red)? )?(?:{scissors})\b"
    return re.compile(
        rf"\b(?:(?P<count>an?|{amount}|{'|'.join(captions.PAIRS)}) |(?={bare}))(?:(?P<adjective>{adjective}) )?"
        rf"(?:{'|'.join(before)})?(?P<noun>{noun})\b(?:(?:{'|'.join(behind)})(?!\w| (?:colou?red )?(?:{scissors})))?"
    )


COLORED = (*captions.COLORED.seen, *captions.COLORED.held_out)


def claim_of(match: re.Match, cast: str, cell: str | None) -> tuple[Claim, str | None]:
    """What a phrase says, and the construction of its colour. Number, noun, article and verb must agree."""
    name, many = nouns(cast)[match["noun"]]
    counted = match["count"] or "a"
    number = re.search(rf"\b({NUMBER}|[1-5])$", counted)
    count = 1 if counted in ("a", "an") else 2
    if number:
        count = int(number[1]) if number[1].isdigit() else NUMBER_WORDS.index(number[1])
    assert many in (None, count > 1), f"number and noun disagree in {match[0]!r}"
    if counted in ("a", "an") and match["count"]:
        assert (counted == "an") == (match[0].split()[1][0] in "aeiou"), match[0]
    found = [n for n in range(len(COLORED)) if match[f"color{n}"]]
    verbs = [value for key, value in match.groupdict().items() if key.startswith("are") and value]
    assert verbs in ([], ["is" if count == 1 and name not in NO_SINGULAR else "are"]), match[0]
    bulks = dict.fromkeys(captions.SMALL, "small") | dict.fromkeys(captions.LARGE, "large")
    color, form = (match[f"color{found[0]}"], COLORED[found[0]]) if found else (None, None)
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
    check_agreement(skeleton, claims)
    around, between, relation = taken_apart(skeleton, position)
    return Reading(claims, relation, ground, style, [*forms, *filter(None, (around, between))])


def check_agreement(skeleton: str, claims: list[Claim]) -> None:
    """That verbs agree with what they stand in front of or behind, and "it" with what it is about."""
    several_of = {"is": "are", "stands": "stand", "it": "them", "its own": "their own"}
    text = re.sub(r"\bthis is\b|\b(?:above|below) it\b", "", skeleton)
    for match in re.finditer(r"\b(?P<front>is|are)(?= (?:both )?#)|\b(is|are|stands?|it|them|(its|their) own)\b", text):
        here = text[: match.start()].count("#")
        claim = claims[here if match["front"] else here - 1]
        several = claim.count > 1 or claim.name in NO_SINGULAR or (match[0].endswith("own") and len(claims) > 1)
        assert match[0] in (several_of.values() if several else several_of), skeleton


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
    if skeleton.count("#") == 1:
        around = next((form for form, pattern in patterns(captions.AROUND, "#") if pattern.fullmatch(skeleton)), None)
        assert around is not None, f"no construction is {skeleton!r}"
        return around, None, None
    joining = patterns(captions.RELATED if position else captions.BETWEEN)
    for around, pattern in ((None, re.compile("(.+)")), *patterns(captions.AROUND, "(.+)")):
        inner = pattern.fullmatch(skeleton)
        for form, between in joining if inner else ():
            if form.startswith(captions.ALONE) == (around is None) and between.fullmatch(inner[1]):
                return around, form, relation_of(inner[1]) if position else None
    raise AssertionError(f"no construction is {skeleton!r}")


@cache
def patterns(place: captions.Forms, claim: str = "#") -> list[tuple[str, re.Pattern]]:
    """The constructions of a place with their patterns."""
    forms = (*place.seen, *place.held_out)
    return [(form, re.compile(pattern_of(form.removeprefix(captions.ALONE), claim))) for form in forms]


def pattern_of(form: str, claim: str) -> str:
    """The pattern of a construction."""
    slots = {"": claim, "a": "#", "b": "#", "are": "(?:is|are)", "stands": "stands?", "it": "(?:it|them)"}
    slots |= {"its": "(?:its|their)", "relation": f"(?:{'|'.join(WORDS)})", "side": f"(?:{'|'.join(SIDES)})"}
    slots |= dict.fromkeys(("at", "opposite"), f"(?:{'|'.join(ENDS)})")
    pieces = re.split(r"{(\w*)}", form)
    return "".join(re.escape(piece) if n % 2 == 0 else slots[piece] for n, piece in enumerate(pieces))


def relation_of(inner: str) -> str:
    """The relation of the first thing to the second, as a reader understands it, in a claim about two."""
    if ends := re.findall(rf"(?:{'|'.join(ENDS)})(?! of| side)", inner):
        first, second = (ENDS[end] for end in ends)
        assert second == OPPOSITE[first], inner
        return first
    if side := re.search("|".join(SIDES), inner):
        return OPPOSITE[SIDES[side[0]]]  # the second stands on the first one's side
    word = re.search("|".join(sorted(WORDS, key=len, reverse=True)), inner)
    return WORDS[word[0]] if "#" in inner[: word.start()] else OPPOSITE[WORDS[word[0]]]
