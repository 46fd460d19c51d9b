"""Prompts of multiple-choice questions, and which answers name an option."""

from __future__ import annotations

import pytest

from eval.understanding.letters import option_letter
from eval.understanding.prompts import multiple_choice, short_answer


@pytest.mark.parametrize(
    "answer", ["B", " B\n", "B.", "(B)", "B. a dog", "B: a dog", "**B**", "The answer is B.", "[B]", "Answer: B!", "B,"]
)
def test_a_letter_as_a_word_of_its_own_is_the_answer(answer):
    assert option_letter(answer, "ABCD") == "B"


@pytest.mark.parametrize("answer", ["", "a dog", "b", "BC", "Both", "E", "B-flat", "Bdog"])
def test_without_a_letter_there_is_no_answer(answer):
    assert option_letter(answer, "ABCD") is None


def test_two_letters_are_no_answer():
    assert option_letter("A or B", "ABCD") is None
    assert option_letter("B B", "ABCD") == "B"


def test_only_letters_that_are_offered_count():
    assert option_letter("C, not E", "ABC") == "C"
    assert option_letter("D", "ABC") is None


@pytest.mark.parametrize("answer", ["A man rides a horse.", "It shows two. A dog", "Answer: A dog"])
def test_an_article_is_no_letter(answer):
    assert option_letter(answer, "ABCD") is None


@pytest.mark.parametrize(
    "answer",
    [
        "A",
        "A.",
        "A. dog",
        "(A) a dog",
        "The answer is A.",
        "A is correct",
        "A because it is red",
        "A man. (A)",
        "A\nthe dog is right",
        "Answer: A \nthe dog",
    ],
)
def test_a_is_a_letter_elsewhere(answer):
    assert option_letter(answer, "ABCD") == "A"


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
