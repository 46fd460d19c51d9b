"""Prompts of multiple-choice questions, which answers name an option, and how MMMU reads its own."""

import itertools

import numpy as np
import pytest

from eval.understanding.letters import MATCHINGS, match_option, multiple_choice
from eval.understanding.mmmu_answers import find_numbers, matches, normalize, parse_choice, parse_open

ANIMALS = {"A": "a brown dog", "B": "a cat", "C": "two cows", "D": "a red bird"}
NAMED = "{0}| {0}\n|{0}.|({0})|[{0}]|{0},|**{0}**|{0}) it|#{0}|Option {0}|The answer is {0}."  # forms of a letter
SAID = (  # answers and what they mean in "2026" and in "2024"
    # the text of an option without its letter
    ("two cows", "C", "C"),
    ("Two cows.", "C", "C"),
    ("I see a cat here", "B", "B"),
    ("a cat and two cows", None, None),
    ("It shows a red bird.", "D", "D"),
    ("a cat, because of the long whiskers and the triangular ears, which no other animal has", None, "B"),
    ("a horse", None, None),
    ("", None, None),
    # a letter that is not the option whose text is there
    ("B. two cows", "B", "B"),
    ("(D) a cat", "D", "D"),
    ("a cat (C)", "C", "C"),
    # several letters, or none that is offered
    *((text, None, None) for text in ("A or B", "B-flat", "BC", "b", "E")),
    ("B B", "B", "B"),
    ("A, B: two cows", "C", "C"),
    # a letter at the beginning of a long answer
    ("B is what I see in it", None, "B"),
    ("B is what I see", None, "B"),
    ("B is what I", "B", "B"),
    ("It must be B of the four", "B", "B"),
    ("B, of which I am sure now: two cows", "C", "B"),
    # a stated answer
    ("The answer is **B** because A shows no such thing", "B", None),
    ("The correct answer is C. A dog would be larger, and B has no tail.", "C", None),
    ("the Answer  is c because A does not fit and B neither", "C", None),
    ("The answer is because A and B are alike", "B", None),
    ("My answer is E because A and B are alike", None, None),
    ("The answer: B because A shows no such thing", None, None),
    # "A" as an article
    ("A brown dog", "A", "A"),
    ("A cat", "A", "A"),
    ("A red bird flies over it", "D", "A"),
    ("A man rides a horse on the beach", None, "A"),
    ("A man (B)", None, None),
    # refusals
    ("Z", None, None),
    ("Z, two cows", None, None),
    ("Z or C", "C", "C"),
    *((text, None, None) for text in (
        "Cannot determine the answer: two cows or B", "I can't process this file. B",
        "Sorry, I can't help with images of people yet. A", "Failed to obtain answer via API B",
        "I'm sorry, but without the image provided I say B",
    )),
    ("Failed to obtain answer via API: two cows", "C", "C"),
)  # fmt: skip


def test_answers_mean_what_they_do_in_exact_matching():
    for form, letter, matching in itertools.product(NAMED.split("|"), ANIMALS, MATCHINGS):
        assert match_option(form.format(letter), ANIMALS, matching) == letter, form
    for answer, *meant in SAID:
        assert [match_option(answer, ANIMALS, matching) for matching in MATCHINGS] == meant, answer
    # only letters that are offered count
    three = {letter: ANIMALS[letter] for letter in "ABC"}
    of_three = [match_option(text, three) for text in ("D", "C, not D", "The answer is D, for A and B are none")]
    assert of_three == [None, "C", None]


def test_prompts_of_multiple_choice():
    choices = "Why?\nA. so\nB. thus\n\nAnswer with the option's letter from the given choices directly."
    assert multiple_choice("Why?", {"A": "so", "B": "thus"}) == choices
    assert multiple_choice("Why?", {"A": "so", "B": "thus"}, "look") == f"Hint: look\n{choices}"
    assert "\nB. thus\nD. no\n\n" in multiple_choice("Why?", {"B": "thus", "D": "no"}), "letters stay"
    assert multiple_choice("Why?", {}) == "Why?\nAnswer the question directly."


# --- MMMU ---

CHOICES = {"A": "red", "B": "blue", "C": "dark blue", "D": "green"}
LETTERS = (  # what each answer says
    # letters in brackets and between spaces
    *((text, "B") for text in ("B", "(B)", "B.", "B!", "'B'", "The answer is B.", "It is (B) blue", "B blue", "B\n")),
    # a letter with a full stop before more text is a guess, as is all in which the official script finds none
    *((text, None) for text in ("B. blue", "I say B. It is", "", "b", "blue", "E", "(E)", "(I)", "Because")),
    *((text, None) for text in ("DNA. it", "DNA is", "B: blue", "...")),
    ("(A) and not B here", "A"),  # brackets win over spaces
    ("A or C or B", "B"),  # the last of several letters counts
    ("(C) (A)", "A"),
    ("(A) no, (B) no, (A)", "A"),  # by the place of its last occurrence
    ("I think it must be GREEN", "D"),  # an option's text counts in answers of more than five words
    ("it must surely be green", None),
    ("it could be green, it could be red", "A"),  # the last of several texts
    ("it could be dark blue in my eyes", "B"),  # "blue" begins later than "dark blue"
    ("it is surely red, so I say B here", "B"),  # letters win over texts
)


def test_letters():
    assert [parse_choice(answer, CHOICES) for answer, _ in LETTERS] == [letter for _, letter in LETTERS]
    assert parse_choice("this is a rather long answer without", {"A": "x y z", "B": ""}) is None, "empty: in no answer"
    assert parse_choice("(I)", {letter: letter * 3 for letter in "ABCDEFGHI"}) == "I"


READ = {
    normalize: (  # numbers lose commas and decimals, texts are in lower case, a character is a word's edge
        *(("1,234.567", [1234.57]), (" 24 ", [24.0]), ("MgS", ["mgs"]), ("C", [" c", "c "])),
    ),
    find_numbers: (
        *(("1,234 and 5", ["1,234", "234", "5"]), ("-3.5 or .5", ["-3.5", ".5"]), ("2e-3 m", ["2e-3", "-3"])),
        *(("1,234,567", ["1,234,567", "567"]), ("none", [])),
    ),
    parse_open: (
        ("The answer is 42 kg.", ["42 kg", 42.0]),  # the end behind a key counts
        ("So the result is thus red", ["red"]),
        ("x = 5\ny = 6", [6.0]),  # "=" is a key in the last line only
        ("x = 5", [5.0]),
        ("Dark Blue.", ["dark blue"]),  # without keys the whole answer
        ("", [""]),
        ("it is red\nit is blue", ["red", "blue"]),  # every line with a key
        ("the answer is :", ["the answer is :"]),  # a bare mark behind a key is nothing
    ),
}


@pytest.mark.parametrize(("read", "text", "result"), [(read, *case) for read in READ for case in READ[read]])
def test_parts_of_open_answers(read, text, result):
    assert read(text) == result


@pytest.mark.parametrize(
    ("gold", "answer", "right"),
    [
        *(("12.97", "The answer is 12.97 V", True), ("12.97", "12.971", True), ("12.97", "12.9", False)),
        ("1000", "it is 1,000", True),
        *(("MgS", "The formula is MgS.", True), (["$MgS$", "MgS"], "mgs", True)),
        *(("C", "C", True), ("C", "vitamin C", True), ("C", "carbonic", False)),
        *(("1/64", "1/64", True), ("64", "1/640", False)),
        ("Transformation", "This is called transformation", True),
        *((3.14, "3.14", True), ([2, 3.14], "it is 3.14", True), (3, "4", False)),  # numbers are their text
        *((np.array([3.5]), "3.5", True), (np.array(["yes", "no"]), "no", True)),
        *(("5", "15", False), ("5", "five", False), ("5", "", False), ("red", "", False)),
        (["a b", "c d"], "a d", False),
        ("5", "5 is wrong, it is 6", False),  # what comes before a key does not count
    ],
)
def test_open_answers(gold, answer, right):
    assert matches(gold, answer) == right


def test_what_is_no_right_answer_is_refused():
    for bad in (None, [None], [["3"]]):
        with pytest.raises(ValueError, match="a right answer is a text or a number"):
            matches(bad, "3")
