"""The words that every cast shares: colours, backgrounds, numbers, relations, places, and English around them."""

from __future__ import annotations

RGB = tuple[int, int, int]

# GenEval's ten colours; the values keep clear of each other and of the backgrounds.
COLORS: dict[str, RGB] = {
    "red": (214, 38, 42),
    "orange": (246, 138, 20),
    "yellow": (246, 222, 52),
    "green": (46, 156, 70),
    "blue": (38, 92, 212),
    "purple": (130, 54, 172),
    "pink": (248, 152, 194),
    "brown": (124, 74, 34),
    "black": (24, 24, 26),
    "white": (250, 250, 250),
}
# Pale or dull, so that every colour above can be told from them. The first is that of the level "fixed".
BACKGROUNDS: dict[str, RGB] = {
    "grey": (172, 175, 178),
    "sky": (166, 202, 230),
    "sand": (218, 202, 168),
    "mint": (172, 214, 190),
    "lilac": (188, 174, 214),
    "slate": (102, 112, 126),
    "olive": (140, 142, 106),
}

NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five")

# The six tags of GenEval, and "compound": two groups that have counts and colours at once.
GENEVAL_TAGS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
KINDS = (*GENEVAL_TAGS, "compound")

RELATIONS = ("left of", "right of", "above", "below")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

# Names of the cells of the 3 x 3 grid, in raster order.
CELL_NAMES = (
    "top left", "top", "top right",
    "left", "center", "right",
    "bottom left", "bottom", "bottom right",
)  # fmt: skip

_PLURALS = {
    "person": "people", "sheep": "sheep", "skis": "skis", "knife": "knives", "scissors": "scissors",
    "computer mouse": "computer mice", "mouse": "mice",
}  # fmt: skip
_ALREADY_PLURAL = ("skis", "scissors")


def plural(noun: str) -> str:
    """The plural of a noun of any cast."""
    if noun in _PLURALS:
        return _PLURALS[noun]
    if " of " in noun:
        head, _, rest = noun.partition(" of ")
        return f"{plural(head)} of {rest}"
    if noun.endswith(("s", "ch", "sh", "x")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def is_plural(noun: str) -> bool:
    """Whether one thing of that name is spoken of as if there were several (``"scissors"``)."""
    return noun.endswith(_ALREADY_PLURAL)


def indefinite(phrase: str) -> str:
    """``phrase`` behind its indefinite article, or without one where it is plural already (``"red scissors"``)."""
    return phrase if is_plural(phrase) else with_article(phrase)


def with_article(phrase: str) -> str:
    """``phrase`` behind "a" or "an"."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def verb(noun: str, count: int) -> str:
    """What agrees with ``count`` things of that name."""
    return "is" if count == 1 and not is_plural(noun) else "are"
