"""The toy world that a small model knows: what is not of it is said once, for the model answers as if it knew."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from janusflow.worlds.shapes.render import IMAGE_SIZE
from janusflow.worlds.shapes.vocabulary import BACKGROUND

if TYPE_CHECKING:
    from janusflow.checkpoints.pretrained import Bundle

SHAPES = "shapes"
SHOWN_WORDS = 8
logger = logging.getLogger(__name__)

# Every word of its captions, questions, answers and lines of text.
WORDS = frozenset((
    "a", "above", "an", "and", "anything", "are", "assistant", "at", "background", "bars", "below", "black",
    "blue", "bottom", "brown", "caption", "center", "circle", "circles", "color", "colour", "cross", "crosses",
    "do", "drawing", "five", "four", "full", "generate", "green", "grey", "hole", "how", "if", "image", "in",
    "is", "its", "left", "made", "make", "many", "no", "of", "on", "one", "orange", "photo", "picture", "pink",
    "points", "purple", "red", "relative", "right", "ring", "rings", "round", "see", "shape", "shapes", "shows",
    "side", "sides", "square", "squares", "star", "stars", "the", "then", "there", "this", "three", "to", "top",
    "triangle", "triangles", "two", "user", "what", "where", "which", "white", "with", "yellow", "yes", "you",
    "zero",
))  # fmt: skip
WORD = re.compile(r"[^\W_]+")
NEAR = 16  # 8-bit levels of each channel: as far from the background's colour as noise and compression move it
# Share of such pixels. Rendered scenes have 0.68 or more, drawn ones 0.66, blurred, noisy or compressed ones 0.47;
# photographs (111 of COCO, 32 of CC12M) have 0.30 at most.
LEAST_BACKGROUND = 0.4


def note_foreign(bundle: Bundle, texts: Sequence[str], images: Sequence[Image.Image] = ()) -> None:
    """Log a warning, a line, where prompts or pictures are not of the world that a model states as its own.

    Words and pictures each at most once for a loaded model; never for models that state none, as the released ones.
    """
    if bundle.world != SHAPES:
        return
    found = []
    if "words" not in bundle.noted:
        words = list(dict.fromkeys(word for text in texts for word in foreign_words(text)))
        if words:
            more = f" and {len(words) - SHOWN_WORDS} more" if len(words) > SHOWN_WORDS else ""
            found.append(f"the words {', '.join(words[:SHOWN_WORDS])}{more}")
            bundle.noted.add("words")
    if "picture" not in bundle.noted and any(map(is_foreign, images)):
        found.append("the picture")
        bundle.noted.add("picture")
    if found:
        logger.warning(f"note: not of the shapes world, which is all that this model knows: {'; '.join(found)}")


def foreign_words(text: str) -> list[str]:
    """The words of ``text``, in lower case and in order, that the world does not have."""
    words = WORD.findall(unicodedata.normalize("NFKC", text).lower())  # as its tokenizer reads it
    return list(dict.fromkeys(word for word in words if word not in WORDS))


def is_foreign(image: Image.Image) -> bool:
    """Whether a picture of any size shows too little of the world's background to be one of its scenes."""
    small = image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.NEAREST).convert("RGB")  # takes no time
    distance = np.abs(np.asarray(small, dtype=np.int16) - np.array(BACKGROUND, dtype=np.int16)).max(-1)
    return bool((distance <= NEAR).mean() < LEAST_BACKGROUND)
