"""Which option of a multiple-choice question an answer means, by the exact matching of VLMEvalKit (no judge).

Two readings, by the year in which VLMEvalKit had them; where the answer is a letter, as the prompt asks, they agree.
"2024", until July 2025, made the papers' numbers: the one letter that stands as a word, or else the one option whose
text is in the answer. "2026" trusts a letter only among the last four words, then an "answer is B" anywhere (the letter
in either case, and a word that begins with it too), and an option's text only in an answer that is no longer than twice
all options. An article is a letter where it stands like one: "A brown dog" says A in both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MATCHINGS = ("2026", "2024")
MARKS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
API_FAILURE = "Failed to obtain answer via API"
NONE_OF_THEM = "Z"  # a letter that stands for no option
LAST_WORDS = 4
STATED = re.compile(r"answer\s+is\s+\**([a-d])", re.IGNORECASE)


def match_option(answer: str, options: Mapping[str, str], matching: str = MATCHINGS[0]) -> str | None:
    """The letter of the option that ``answer`` means; None where it means none, or several, or refuses.

    options: their texts by letter, in upper case.
    """
    if any(phrase in answer for phrase in REFUSALS):
        return None
    words = [] if API_FAILURE in answer else answer.translate(MARKS).split()
    named = [letter for letter in options if letter in words]
    if not named and NONE_OF_THEM in words:
        return None
    if len(named) == 1 and (matching == "2024" or words.index(named[0]) >= len(words) - LAST_WORDS):
        return named[0]
    stated = STATED.search(answer) if words and matching != "2024" else None
    if stated and stated[1].upper() in options:
        return stated[1].upper()
    if matching != "2024" and len(answer) > 2 * sum(map(len, options.values())):
        return None
    meant = [letter for letter, text in options.items() if text.lower() in answer.lower()]
    return meant[0] if len(meant) == 1 else None
