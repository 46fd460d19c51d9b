"""The world that a small model knows: what is not of it is said once, for the model answers as if it knew."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from janusflow.data.reconstruction import REQUESTS
from janusflow.worlds import captions, edits, questions
from janusflow.worlds.casts import CASTS, Cast, cast_of
from janusflow.worlds.source import CAPTION_REQUEST
from janusflow.worlds.vocabulary import BACKGROUNDS, CELL_NAMES, COLORS, NUMBER_WORDS, plural

if TYPE_CHECKING:
    from janusflow.checkpoints.pretrained import Bundle

SHOWN_WORDS = 8
logger = logging.getLogger(__name__)

WORD = re.compile(r"[^\W_]+")
# Of chats, answers, lines of text and what agrees in captions.
CHAT = "user assistant yes no zero and make an if then it its them their stand stands 0 1 2 3 4 5"
SIDE = 48  # pixels that pictures are looked at with
FRAME = 2  # pixels of the border
# Distances of channels, in levels: of the frame's median to a named background, of a pixel to that median. Both allow
# for gradients, noise and compression.
NAMED, NEAR = 30, 30
LEAST_BACKGROUND, LEAST_FRAME = 0.4, 0.75  # shares of near pixels, of the picture and of its border


def note_foreign(bundle: Bundle, texts: Sequence[str], images: Sequence[Image.Image] = ()) -> None:
    """Log a warning, a line, where prompts or pictures are not of the world that a model states as its own.

    Words and pictures each at most once for a loaded model; never for models that state none, as the released ones.
    """
    if bundle.world not in CASTS.paths:
        return
    found = []
    if "words" not in bundle.noted:
        words = list(dict.fromkeys(word for text in texts for word in foreign_words(text, bundle.world)))
        if words:
            more = f" and {len(words) - SHOWN_WORDS} more" if len(words) > SHOWN_WORDS else ""
            found.append(f"the words {', '.join(words[:SHOWN_WORDS])}{more}")
            bundle.noted.add("words")
    if "picture" not in bundle.noted and any(map(is_foreign, images)):
        found.append("the picture")
        bundle.noted.add("picture")
    if found:
        logger.warning(
            f"note: not of the world of {bundle.world}, which is all that this model knows: {'; '.join(found)}"
        )


@cache
def words_of(cast: str) -> frozenset[str]:
    """Every word of a cast's captions, questions, answers and lines of text."""
    return frozenset(WORD.findall(re.sub(r"{\w*}", " ", " ".join(_texts(cast_of(cast)))).lower()))


def _texts(cast: Cast) -> Iterator[str]:
    nouns = [cast.noun, *cast.names, *(name for several in cast.synonyms.values() for name in several)]
    for noun in nouns:
        yield from (noun, plural(noun), noun + "s")
    for forms in (captions.AROUND, captions.COLORED, captions.BETWEEN, captions.RELATED):
        yield from (*forms.seen, *forms.held_out)
    for several in (*captions.RELATION_WORDS.values(), *captions.STYLED.values(), *questions.WORDINGS.values()):
        yield from several
    yield from (*captions.SIDES.values(), *captions.ENDS.values(), *captions.GROUNDS, *captions.LONG, *captions.PAIRS)
    yield from (*captions.SMALL, *captions.LARGE, *captions.AMOUNTS, *captions.ADJECTIVES, *cast.styles)
    yield from (*COLORS, *BACKGROUNDS, *NUMBER_WORDS, *CELL_NAMES, "color", "colour", "is", "are")
    yield from (CHAT, CAPTION_REQUEST, *REQUESTS, *(form for several in edits.FORMS.values() for form in several))


def foreign_words(text: str, cast: str) -> list[str]:
    """The words of ``text``, in lower case and in order, that the cast's world does not have."""
    words = WORD.findall(unicodedata.normalize("NFKC", text).lower())  # as its tokenizer reads it
    return list(dict.fromkeys(word for word in words if word not in words_of(cast)))


def is_foreign(image: Image.Image) -> bool:
    """Whether a picture of any size has no background as those of the worlds' scenes."""
    small = image.resize((SIDE, SIDE), Image.Resampling.NEAREST).convert("RGB")  # takes no time
    pixels = np.asarray(small, dtype=np.int16)
    frame = np.ones((SIDE, SIDE), bool)
    frame[FRAME:-FRAME, FRAME:-FRAME] = False
    ground = np.median(pixels[frame], axis=0)
    named = np.abs(np.array(list(BACKGROUNDS.values())) - ground).max(-1).min() <= NAMED
    near = np.abs(pixels - ground).max(-1) <= NEAR
    return not named or bool(near.mean() < LEAST_BACKGROUND or near[frame].mean() < LEAST_FRAME)
