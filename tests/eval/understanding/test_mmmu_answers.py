"""How answers to MMMU's questions are read."""

from __future__ import annotations

import numpy as np
import pytest

from eval.understanding.mmmu_answers import find_numbers, matches, normalize, parse_choice, parse_open

CHOICES = {"A": "red", "B": "blue", "C": "dark blue", "D": "green"}

# --- letters ---


@pytest.mark.parametrize(
    "answer", ["B", "(B)", "B.", "B!", "'B'", "The answer is B.", "It is (B) blue", "B blue", "B\n"]
)
def test_letters_in_brackets_and_between_spaces(answer):
    assert parse_choice(answer, CHOICES) == "B"


@pytest.mark.parametrize("answer", ["B. blue", "I say B. It is"])
def test_a_letter_with_a_full_stop_before_more_text_is_a_guess(answer):
    assert parse_choice(answer, CHOICES) is None


def test_brackets_win_over_spaces():
    assert parse_choice("(A) and not B here", CHOICES) == "A"


def test_the_last_of_several_letters_counts():
    assert parse_choice("A or C or B", CHOICES) == "B"
    assert parse_choice("(C) (A)", CHOICES) == "A"


def test_place_is_that_of_the_last_occurrence():
    assert parse_choice("(A) no, (B) no, (A)", CHOICES) == "A"


@pytest.mark.parametrize("answer", ["", "b", "blue", "E", "(E)", "Because", "DNA. it", "DNA is", "B: blue", "..."])
def test_where_the_official_script_guesses_there_is_no_letter(answer):
    assert parse_choice(answer, CHOICES) is None


def test_text_of_an_option_counts_in_answers_of_more_than_five_words():
    assert parse_choice("I think it must be GREEN", CHOICES) == "D"
    assert parse_choice("it must surely be green", CHOICES) is None


def test_the_last_of_several_texts_counts():
    assert parse_choice("it could be green, it could be red", CHOICES) == "A"
    assert parse_choice("it could be dark blue in my eyes", CHOICES) == "B"  # "blue" begins later than "dark blue"


def test_letters_win_over_texts():
    assert parse_choice("it is surely red, so I say B here", CHOICES) == "B"


def test_empty_option_is_in_no_answer():
    assert parse_choice("this is a rather long answer without", {"A": "x y z", "B": ""}) is None


def test_letters_beyond_d():
    choices = {letter: letter * 3 for letter in "ABCDEFGHI"}
    assert parse_choice("(I)", choices) == "I"
    assert parse_choice("(I)", CHOICES) is None


# --- open answers ---


def test_numbers_lose_commas_and_decimals():
    assert normalize("1,234.567") == [1234.57]
    assert normalize(" 24 ") == [24.0]


def test_texts_are_lower_case_and_a_single_character_is_a_words_edge():
    assert normalize("MgS") == ["mgs"]
    assert normalize("C") == [" c", "c "]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,234 and 5", ["1,234", "234", "5"]),
        ("-3.5 or .5", ["-3.5", ".5"]),
        ("2e-3 m", ["2e-3", "-3"]),
        ("1,234,567", ["1,234,567", "567"]),
        ("none", []),
    ],
)
def test_numbers_in_a_text(text, numbers):
    assert find_numbers(text) == numbers


def test_the_end_behind_a_key_counts():
    assert parse_open("The answer is 42 kg.") == ["42 kg", 42.0]
    assert parse_open("So the result is thus red") == ["red"]


def test_equals_is_a_key_in_the_last_line_only():
    assert parse_open("x = 5\ny = 6") == [6.0]
    assert parse_open("x = 5") == [5.0]


def test_whole_answer_counts_without_keys():
    assert parse_open("Dark Blue.") == ["dark blue"]
    assert parse_open("") == [""]


def test_every_line_with_a_key_counts():
    assert parse_open("it is red\nit is blue") == ["red", "blue"]


def test_bare_mark_behind_a_key_is_nothing():
    assert parse_open("the answer is :") == ["the answer is :"]


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("12.97", "The answer is 12.97 V"),
        ("12.97", "12.971"),
        ("1000", "it is 1,000"),
        ("MgS", "The formula is MgS."),
        (["$MgS$", "MgS"], "mgs"),
        ("C", "C"),
        ("C", "vitamin C"),
        ("1/64", "1/64"),
        ("Transformation", "This is called transformation"),
    ],
)
def test_right_open_answers(gold, answer):
    assert matches(gold, answer)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("12.97", "12.9"),
        ("C", "carbonic"),
        ("5", "15"),
        ("5", "five"),
        ("red", ""),
        ("5", ""),
        (["a b", "c d"], "a d"),
        ("64", "1/640"),
    ],
)
def test_wrong_open_answers(gold, answer):
    assert not matches(gold, answer)


def test_right_answers_that_are_numbers_are_their_text():
    assert matches(3.14, "3.14") and matches([2, 3.14], "it is 3.14") and not matches(3, "4")
    assert matches(np.array([3.5]), "3.5") and matches(np.array(["yes", "no"]), "no")
    for gold in (None, [None], [["3"]]):
        with pytest.raises(ValueError, match="a right answer is a text or a number"):
            matches(gold, "3")


def test_what_comes_before_a_key_does_not_count():
    assert not matches("5", "5 is wrong, it is 6")
