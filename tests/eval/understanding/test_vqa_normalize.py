"""How the VQA scripts read an answer, one named test a quirk."""

from __future__ import annotations

import pytest

from eval.understanding.vqa_normalize import (
    CONTRACTIONS,
    normalize,
    normalize_m4c,
    normalize_words,
    one_line,
    strip_punctuation,
)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a-b", "a b"),  # becomes a space
        ("a- b", "a b"),  # disappears beside a space
        ("a-b -c", "ab c"),  # every mark of a kind that stands beside a space anywhere
        ("a/b-c -d", "a bc d"),  # and only of that kind
        ("1,000", "1000"),
        ("1,000-2/3", "100023"),  # a comma between digits takes every mark out without a space
        ("a,b", "a b"),
        ("1, 2", "1 2"),
        ("yes!", "yes "),  # blanks go later, with the words
        ("it's 5:30", "it's 5:30"),  # apostrophes and colons stay
        ("50%", "50%"),
        ("$5", "$5"),
    ],
)
def test_punctuation(text, read):
    assert strip_punctuation(text) == read


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("dr. who.", "dr who"),
        ("3.5", "3.5"),
        ("v.2", "v.2"),  # whatever stands before it
        ("2.", "2"),
        ("...5", ".5"),
    ],
)
def test_a_period_stays_only_in_front_of_a_digit(text, read):
    assert strip_punctuation(text) == read


def test_only_the_first_32_periods_go():
    assert strip_punctuation("." * 40) == "." * 8


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Two Dogs", "2 dogs"),
        ("none", "0"),
        ("ten eleven", "10 eleven"),
        ("the man and a dog", "man and dog"),
        ("The", ""),
        ("dont", "don't"),
        ("its well", "its well"),
        ("couldntve", "couldntve"),  # two apostrophes are lacking
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("somebody'd", "somebodyd"),
        ("Im", "im"),  # the official table has it in upper case, where nothing finds it
        ("  many   blanks ", "many blanks"),
        ("une à deux", "une à deux"),
        ("", ""),
    ],
)
def test_words(text, read):
    assert normalize_words(text) == read


def test_contractions_are_as_many_as_in_the_official_table():
    """120, less four in upper case and two that stand for themselves."""
    assert len(CONTRACTIONS) == 114
    assert all(key != form for key, form in CONTRACTIONS.items())


def test_line_feeds_and_tabs_become_spaces():
    assert one_line("\n two\tmen \n") == "two men"


def test_punctuation_goes_before_words():
    assert normalize("The-dog!") == "dog"
    assert normalize("one/two") == "1 2"


def test_m4c_takes_commas_and_question_marks_out_first():
    assert normalize("a1,b?c") == "a1 b c"
    assert normalize_m4c("a1,b?c") == "a1bc"
    assert normalize_m4c("x,y-z") == "xy z"
    assert normalize_m4c("1,000-2") == "1000 2", "no comma is left between digits, so the dash leaves a space"


def test_m4c_sets_a_possessive_apart():
    assert normalize_m4c("Joe's Diner") == "joe 's diner"
    assert normalize_m4c("let's") == "let 's"


def test_m4c_reads_everything_else_as_vqa_does():
    assert normalize_m4c("The Two\nmen.") == normalize("The Two men.") == "2 men"
