"""The option's letter in an answer to a multiple-choice question, by exact matching.

Source: the first step of VLMEvalKit's answer matching, which is all of its mode without a judge that looks for letters.
Its second step, the text of an option inside the answer, is left out: the prompt asks for the letter.
"""

from __future__ import annotations

from collections.abc import Iterable

MARKS = ".()[],:;!*#{}"  # read as spaces
SPACES = str.maketrans(MARKS, " " * len(MARKS))
AFTER_A_LETTER = ("is", "was", "and", "or", "because", "since", "as")  # "A because …" is an answer, "A man …" is none


def option_letter(answer: str, letters: Iterable[str]) -> str | None:
    """The one of ``letters`` that stands as a word of its own, in upper case; None where none does, or several do.

    Stricter than VLMEvalKit in one case, where it gives a point for prose: an "A" that is an article is no letter.
    """
    words = answer.translate(SPACES).split()
    found = [letter for letter in letters if letter in words]
    if len(found) != 1 or (found == ["A"] and words.count("A") == _articles(answer)):
        return None
    return found[0]


def _articles(answer: str) -> int:
    """How often an "A" opens a sentence and a word in lower case follows in the same line."""
    count = 0
    for line in answer.splitlines():
        words = line.split()
        for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
            opens = not before or before[-1] in ".!?:"
            count += word == "A" and opens and after[:1].islower() and after not in AFTER_A_LETTER
    return count
