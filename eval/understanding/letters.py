"""Multiple choice: how it is asked, and which option an answer means by VLMEvalKit's exact matching (no judge).

Two readings, by the year in which VLMEvalKit had them; where the answer is a letter, as the prompt asks, they agree.
"2024", until July 2025, made the papers' numbers: the one letter that stands as a word, or else the one option whose
text is in the answer. "2026" trusts a letter only among the last four words, then an "answer is B" anywhere (the letter
in either case, and a word that begins with it too), and an option's text only in an answer that is no longer than twice
all options. An article is a letter where it stands like one: "A brown dog" says A in both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from eval.task import Record
from eval.understanding.benchmark import Benchmark, Reading, UnderstandingOptions
from janusflow.options import option

LETTER = "Answer with the option's letter from the given choices directly."
DIRECT = "Answer the question directly."
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


@dataclass(frozen=True)
class ChoiceOptions(UnderstandingOptions):
    """Where the benchmark is, and how letters are read."""

    matching: str = option(MATCHINGS[0], "the year of VLMEvalKit's exact matching; the papers' is 2024's", MATCHINGS)


class ChoiceBenchmark(Benchmark):
    """Questions with a few options, ``gold["options"]`` by letter, of which ``gold["answer"]`` is right."""

    options: ClassVar[type] = ChoiceOptions
    label: ClassVar[str] = "answer"
    facts: Record = {"reading": "VLMEvalKit's exact matching; no judge"}
    given: ChoiceOptions

    def read_answer(self, gold: Any, answer: str) -> Reading:
        said = match_option(answer, gold["options"], self.given.matching)
        return Reading(said, said == gold["answer"], said is not None)


def multiple_choice(question: str, choices: Mapping[str, str], hint: str = "") -> str:
    """The prompt of a question with ``choices`` by letter.

    A hint stands in front, in a line that says so. An open question among them, without choices, is asked directly.
    """
    head = f"Hint: {hint}\n{question}" if hint else question
    if not choices:
        return f"{head}\n{DIRECT}"
    lines = [f"{letter}. {text}" for letter, text in choices.items()]
    return "\n".join([head, *lines]) + f"\n\n{LETTER}"


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
