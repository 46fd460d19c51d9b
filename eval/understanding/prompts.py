"""What models are asked: VLMEvalKit's prompts for Janus, whose numbers the papers report.

Pictures stand in front of the text, whatever their number, and a mark such as ``<image 1>`` stays in the text as it is.
Ours differ in line breaks: one stands behind each of several pictures, as in transformers' template of Janus, where
VLMEvalKit has one behind the last; and one behind the picture of VQAv2, GQA, ChartQA and TextVQA, where it has none.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence

SHORT = "Answer the question using a single word or phrase."
LETTER = "Answer with the option's letter from the given choices directly."
DIRECT = "Answer the question directly."


def short_answer(question: str) -> str:
    """The prompt of yes/no questions and of questions with a short answer."""
    return f"{question}\n{SHORT}"


def multiple_choice(question: str, choices: Mapping[str, str] | Sequence[str], hint: str = "") -> str:
    """The prompt of a multiple-choice question: ``choices`` by letter, or in order from A.

    A hint stands in front, in a line that says so. An open question among them, without choices, is asked directly.
    Raises ``ValueError`` for more choices than there are letters.
    """
    lettered = choices if isinstance(choices, Mapping) else dict(zip(string.ascii_uppercase, choices, strict=False))
    if len(lettered) != len(choices):
        raise ValueError(f"{len(choices)} choices are more than there are letters")
    head = f"Hint: {hint}\n{question}" if hint else question
    if not lettered:
        return f"{head}\n{DIRECT}"
    lines = [f"{letter}. {text}" for letter, text in lettered.items()]
    return "\n".join([head, *lines]) + f"\n\n{LETTER}"
