"""How MMMU's official script reads answers, as pure functions: the letter of an option, and open answers.

Source: Yue et al. 2024 (arXiv:2311.16502), whose evaluation is by rules, and the behaviour of its official script.
Where that would choose an option at random there is no letter here. One thing is read that it guesses: it does not
strip an answer, so that "D\\n" has no letter there, and is D here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from eval.understanding.benchmark import text_of

MARKS = (",", ".", "!", "?", ";", ":", "'")  # taken off both ends of an answer, in this order
LONG_ANSWER = 5  # words; only a longer answer is searched for an option's text
KEYS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")  # an answer follows them
DECIMALS = 2  # that numbers are compared with

EXPONENT = r"[eE][+-]?\d+"
WITH_COMMAS = re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b")
SCIENTIFIC = re.compile(rf"-?\d+(?:\.\d+)?{EXPONENT}")
SIMPLE = re.compile(rf"-?(?:\d*\.\d+|\d+\b)(?!{EXPONENT}|[,\d])")


def parse_choice(answer: str, choices: Mapping[str, str]) -> str | None:
    """The letter of ``choices`` that an answer means; None where the official script would guess.

    The first of these that is in the answer: "(B)"; "B" between spaces; in an answer of more than five words, the text
    of an option in any case. Of several letters, the one that stands last. "B." in front of more text is no letter,
    as it is in the authors' later script for MMMU-Pro.
    """
    text = answer.strip()
    for mark in MARKS:
        text = text.strip(mark)
    text = f" {text} "
    for form in ("({})", " {} "):
        found = _last({letter: text.rfind(form.format(letter)) for letter in choices})
        if found is not None:
            return found
    if len(text.split()) <= LONG_ANSWER:
        return None
    low = text.lower()
    return _last({letter: low.rfind(option.lower()) for letter, option in choices.items() if option})


def normalize(text: str) -> list[str | float]:
    """A number rounded to two decimals, commas dropped, or else the text in lower case.

    A single character becomes two texts, with a space before and behind, so that it is found as a word's edge only.
    """
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), DECIMALS)]
    except ValueError:
        low = text.lower()
        return [f" {low}", f"{low} "] if len(low) == 1 else [low]


def find_numbers(text: str) -> list[str]:
    """Numbers in a text: with commas between thousands, in scientific notation, and simple ones.

    As in the official script, the last part of a number of the first two kinds is a simple number too.
    """
    return [number for form in (WITH_COMMAS, SCIENTIFIC, SIMPLE) for number in form.findall(text)]


def parse_open(answer: str) -> list[str | float]:
    """What an answer to an open question may say: the ends of its lines behind words such as "is", and their numbers.

    Of each line the shortest end counts; "=" is such a word in the last line. Without any, the whole answer counts.
    """
    answer = answer.strip().strip(".").lower()
    lines = answer.split("\n")
    ends = [_end(line, (*KEYS, "=") if number == len(lines) else KEYS) for number, line in enumerate(lines, 1)]
    texts = [end for end in ends if end and end not in MARKS] or [answer]
    numbers = [number for text in texts for number in find_numbers(text)]
    return list(dict.fromkeys(one for text in [*texts, *numbers] for one in normalize(text)))


def matches(gold: str | float | Sequence[str | float], answer: str) -> bool:
    """Whether an answer to an open question holds one of the ``gold`` texts, or a number equal to one of them.

    A number among them is its text. Raises ``ValueError`` for a ``gold`` that is neither.
    """
    golds = gold if isinstance(gold, Iterable) and not isinstance(gold, str) else [gold]
    accepted = [one for text in golds for one in normalize(text_of(text))]
    texts = [one for one in accepted if isinstance(one, str)]
    return any(
        any(text in said for text in texts) if isinstance(said, str) else said in accepted
        for said in parse_open(answer)
    )


def _last(places: Mapping[str, int]) -> str | None:
    """The letter with the highest place, the first of them in a tie; None where every place is -1."""
    best = max(places, key=places.__getitem__, default=None)
    return None if best is None or places[best] < 0 else best


def _end(line: str, keys: Iterable[str]) -> str:
    """The shortest text behind the last occurrence of a key in the line; an empty one gives way to the next key's."""
    end = ""
    for key in keys:
        behind = line.rsplit(key, 1)[1].strip() if key in line else None
        if behind is not None and (not end or len(behind) < len(end)):
            end = behind
    return end
