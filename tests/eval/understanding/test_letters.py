"""Prompts of multiple-choice questions, and which answers name an option."""

from __future__ import annotations

import pytest

from eval.understanding.benchmark import ChoiceOptions
from eval.understanding.letters import MATCHINGS, match_option
from eval.understanding.prompts import multiple_choice, short_answer

ANIMALS = {"A": "a brown dog", "B": "a cat", "C": "two cows", "D": "a red bird"}
NAMED = (
    "{0}",
    " {0}\n",
    "{0}.",
    "({0})",
    "[{0}]",
    "{0},",
    "**{0}**",
    "{0}) it",
    "#{0}",
    "Option {0}",
    "The answer is {0}.",
)
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
    # several letters
    ("A or B", None, None),
    ("B B", "B", "B"),
    ("A, B: two cows", "C", "C"),
    ("B-flat", None, None),
    ("BC", None, None),
    ("b", None, None),
    ("E", None, None),
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
    ("Cannot determine the answer: two cows or B", None, None),
    ("I can't process this file. B", None, None),
    ("Sorry, I can't help with images of people yet. A", None, None),
    ("I'm sorry, but without the image provided I say B", None, None),
    ("Failed to obtain answer via API B", None, None),
    ("Failed to obtain answer via API: two cows", "C", "C"),
)


@pytest.mark.parametrize("matching", MATCHINGS)
@pytest.mark.parametrize("letter", ANIMALS)
@pytest.mark.parametrize("form", NAMED)
def test_a_letter_as_a_word_of_its_own_is_the_answer(form, letter, matching):
    assert match_option(form.format(letter), ANIMALS, matching) == letter


@pytest.mark.parametrize(("answer", "now", "then"), SAID)
def test_answers_mean_what_they_do_in_exact_matching(answer, now, then):
    assert [match_option(answer, ANIMALS, matching) for matching in MATCHINGS] == [now, then]


def test_only_letters_that_are_offered_count():
    three = {letter: ANIMALS[letter] for letter in "ABC"}
    assert match_option("D", three) is None
    assert match_option("C, not D", three) == "C"
    assert match_option("The answer is D, for A and B are none", three) is None


def test_unknown_matching_is_refused():
    with pytest.raises(ValueError, match="--matching must be one of 2026, 2024, not 'gpt'"):
        ChoiceOptions(matching="gpt")


def test_prompt_of_multiple_choice():
    expected = "Why?\nA. so\nB. thus\n\nAnswer with the option's letter from the given choices directly."
    assert multiple_choice("Why?", ["so", "thus"]) == expected
    assert multiple_choice("Why?", {"A": "so", "B": "thus"}) == expected


def test_hint_stands_in_a_line_of_its_own_in_front():
    assert multiple_choice("Why?", ["so", "thus"], "look").startswith("Hint: look\nWhy?\nA. so\n")


def test_left_out_options_keep_the_other_letters():
    assert "\nB. thus\nD. no\n\n" in multiple_choice("Why?", {"B": "thus", "D": "no"})


def test_open_question_among_multiple_choice_is_asked_directly():
    assert multiple_choice("Why?", []) == "Why?\nAnswer the question directly."


def test_short_answer():
    assert short_answer("Why?") == "Why?\nAnswer the question using a single word or phrase."


def test_more_choices_than_letters():
    with pytest.raises(ValueError, match="27 choices"):
        multiple_choice("Why?", ["x"] * 27)
