"""Prompts of multiple-choice questions, and which answers name an option."""

from __future__ import annotations

import itertools

import pytest

from eval.understanding.letters import MATCHINGS, match_option, multiple_choice

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


@pytest.mark.parametrize("form", NAMED.split("|"))
def test_a_letter_as_a_word_of_its_own_is_the_answer(form):
    for letter, matching in itertools.product(ANIMALS, MATCHINGS):
        assert match_option(form.format(letter), ANIMALS, matching) == letter


@pytest.mark.parametrize(("answer", "now", "then"), SAID)
def test_answers_mean_what_they_do_in_exact_matching(answer, now, then):
    assert [match_option(answer, ANIMALS, matching) for matching in MATCHINGS] == [now, then]


def test_only_letters_that_are_offered_count():
    three = {letter: ANIMALS[letter] for letter in "ABC"}
    of_three = [match_option(text, three) for text in ("D", "C, not D", "The answer is D, for A and B are none")]
    assert of_three == [None, "C", None]


def test_prompts_of_multiple_choice():
    choices = "Why?\nA. so\nB. thus\n\nAnswer with the option's letter from the given choices directly."
    assert multiple_choice("Why?", {"A": "so", "B": "thus"}) == choices
    assert multiple_choice("Why?", {"A": "so", "B": "thus"}, "look") == f"Hint: look\n{choices}"
    assert "\nB. thus\nD. no\n\n" in multiple_choice("Why?", {"B": "thus", "D": "no"}), "letters stay"
    assert multiple_choice("Why?", {}) == "Why?\nAnswer the question directly."
