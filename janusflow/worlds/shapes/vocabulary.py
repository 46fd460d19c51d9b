"""The words of the shapes world and what is held out of its training data."""

from __future__ import annotations

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")

# GenEval's ten colours; the values keep clear of each other and of the grey background.
COLORS: dict[str, tuple[int, int, int]] = {
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
BACKGROUND = (172, 175, 178)

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

# Compositions that no training image or caption ever shows: every shape once, six colours once,
# and three of the eighteen (count, shape) combinations.
HELD_OUT_PAIRS = frozenset(
    {
        ("purple", "star"),
        ("brown", "circle"),
        ("pink", "square"),
        ("orange", "triangle"),
        ("white", "cross"),
        ("green", "ring"),
    }
)
HELD_OUT_COUNTS = frozenset({(3, "star"), (4, "ring"), (2, "cross")})


def plural(shape: str) -> str:
    """The plural of a shape's name."""
    return shape + ("es" if shape.endswith("s") else "s")


def indefinite(phrase: str) -> str:
    """``phrase`` behind its indefinite article."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase
