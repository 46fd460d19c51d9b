"""The toy world that a small model knows: what is not of it is said once, for the model answers as if it knew."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from janusflow.checkpoints.pretrained import Bundle

SHAPES = "shapes"
SHOWN_WORDS = 8
logger = logging.getLogger(__name__)


def note_foreign(bundle: Bundle, texts: Sequence[str], images: Sequence[Image.Image] = ()) -> None:
    """Log a warning, a line, where prompts or pictures are not of the world that a model states as its own.

    Words and pictures each at most once for a loaded model; never for models that state none, as the released ones.
    """
    if bundle.world != SHAPES:
        return
    from janusflow.worlds.shapes.foreign import foreign_words, is_foreign

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
