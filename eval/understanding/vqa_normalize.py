"""How the official VQA evaluation reads a short answer, with its quirks, and what ten annotators make of it.

Source: visualqa.org/evaluation.html and the behaviour of the official ``vqaEval.py``:

- A punctuation mark disappears where any mark of its kind stands beside a space, or where the text holds a comma
  between two digits; everywhere else it becomes a space. So "a-b" is "a b", "a-b -c" is "ab c", and "1,000-2" is
  "10002".
- A period stays only in front of a digit, whatever stands before it; and only the first 32 others go, because the
  script hands a flag to the parameter that counts replacements.
- Apostrophes and colons stay.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
PERIOD = re.compile(r"\.(?!\d)")
MAX_PERIODS = 32
AGREEMENT = 3  # annotators who must agree with an answer that is wholly right
COMMA_IN_NUMBER = re.compile(r"\d,\d")

ARTICLES = frozenset(("a", "an", "the"))
_COUNTED = "zero one two three four five six seven eight nine ten"
NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(_COUNTED.split())}

# Contractions that are restored where one of their apostrophes is lacking. What is not listed is left alone ("its",
# "well", "were" are words), and so is whatever lacks two.
_RESTORED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
    he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
    o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
    someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
    what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
    wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
CONTRACTIONS = {
    form[:index] + form[index + 1 :]: form
    for form in _RESTORED.split()
    for index, character in enumerate(form)
    if character == "'"
} | {"somebody'd": "somebodyd"}  # the one that the official table takes apart


def one_line(text: str) -> str:
    """``text`` with line feeds and tabs as spaces, without blanks around it: what is done to every answer."""
    return text.replace("\n", " ").replace("\t", " ").strip()


def strip_punctuation(text: str) -> str:
    """``text`` without punctuation; the module's docstring says where it leaves a space."""
    comma_in_number = COMMA_IN_NUMBER.search(text) is not None
    stripped = text
    for mark in PUNCTUATION:
        beside_space = f"{mark} " in text or f" {mark}" in text
        stripped = stripped.replace(mark, "" if comma_in_number or beside_space else " ")
    return PERIOD.sub("", stripped, count=MAX_PERIODS)


def normalize_words(text: str) -> str:
    """``text`` in lower case, number words up to ten as digits, without articles, contractions with apostrophes."""
    words = [NUMBERS.get(word, word) for word in text.lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


@lru_cache(maxsize=1 << 18)  # annotators repeat themselves, and intervals score an answer many times
def normalize(text: str) -> str:
    """The whole of it: punctuation first, then words."""
    return normalize_words(strip_punctuation(text))


def normalize_m4c(text: str) -> str:
    """An answer as TextVQA compares it, predictions and annotators' answers alike: as the answer processor of M4C.

    Source: Hu et al. 2020 (arXiv:1911.06258), and the behaviour of MMF's ``EvalAIAnswerProcessor``: a first pass takes
    commas and question marks out without leaving a space, and sets a possessive 's apart; then as above.
    """
    plain = text.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    return normalize(one_line(plain))


def soft_accuracy(prediction: str, answers: Sequence[str]) -> float:
    """Mean over the annotators of min(1, others who gave ``prediction`` / 3), in 0..1; texts are compared as they are.

    Source: Antol et al. 2015, "VQA: Visual Question Answering" (arXiv:1505.00468), and visualqa.org/evaluation.html.
    """
    agreeing = sum(answer == prediction for answer in answers)
    credits = [min(1.0, (agreeing - (answer == prediction)) / AGREEMENT) for answer in answers]
    return sum(credits) / len(credits)


def listed_answers(answers: Sequence[str]) -> list[str]:
    """The annotators' answers. Raises ``ValueError`` without any, and for a text where a list of them belongs."""
    if isinstance(answers, str):
        raise ValueError(f"annotators' answers are a list of texts, not the text {answers!r}")
    found = list(answers)
    if not found:
        raise ValueError("there is no annotator to agree with")
    return found
