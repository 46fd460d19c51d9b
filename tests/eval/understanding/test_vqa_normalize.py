"""How the VQA scripts read an answer."""

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

CASES = {
    strip_punctuation: (
        ("a-b", "a b"),  # a mark becomes a space
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
        # a period stays only in front of a digit, whatever stands before it
        ("dr. who.", "dr who"),
        ("3.5", "3.5"),
        ("v.2", "v.2"),
        ("2.", "2"),
        ("...5", ".5"),
        ("." * 40, "." * 8),  # only the first 32 periods go
    ),
    normalize_words: (
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
    ),
    one_line: (("\n two\tmen \n", "two men"),),
    normalize: (
        ("The-dog!", "dog"),  # punctuation goes before words
        ("one/two", "1 2"),
        ("a1,b?c", "a1 b c"),
    ),
    normalize_m4c: (
        ("a1,b?c", "a1bc"),  # commas and question marks go first
        ("x,y-z", "xy z"),
        ("1,000-2", "1000 2"),  # no comma is left between digits, so the dash leaves a space
        ("Joe's Diner", "joe 's diner"),  # a possessive is set apart
        ("let's", "let 's"),
        ("The Two\nmen.", "2 men"),  # all else as VQA does
    ),
}


@pytest.mark.parametrize(("read", "text", "result"), [(read, *case) for read in CASES for case in CASES[read]])
def test_quirks(read, text, result):
    assert read(text) == result


def test_contractions_are_as_many_as_in_the_official_table():
    """120, less four in upper case and two that stand for themselves."""
    assert len(CONTRACTIONS) == 114
    assert all(key != form for key, form in CONTRACTIONS.items())
