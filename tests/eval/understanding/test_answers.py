"""How each benchmark reads an answer, with the quirks of its official script."""

import numpy as np
import pytest

from eval.understanding import mme, pope
from eval.understanding.chartqa import is_right, read_number
from eval.understanding.textvqa import score_answer as score_textvqa
from eval.understanding.vqa_normalize import (
    CONTRACTIONS,
    normalize,
    normalize_m4c,
    normalize_words,
    one_line,
    strip_punctuation,
)
from eval.understanding.vqav2 import score_answer
from tests.eval.understanding.folders import task

POPE, MME = pope.parse_yes_no, mme.parse_yes_no


def GQA(gold):
    return lambda text: task("gqa").read_answer({"answer": gold}, text).score


@pytest.mark.parametrize(
    ("parse", "said", "texts"),
    [
        # POPE: "no" and "not" in lower case, and "No", among the words of the text; yes in all else
        (POPE, "no", ("No", "no", "There is not a dog", "No, there is none", "it is no dog", "no,", ", no")),
        (POPE, "yes", ("Yes", "yes", "", "perhaps", "NO", "NOT", "nothing", "none", "There isn't", "Not one")),
        (POPE, "yes", ("Yes. There is no doubt", ".No")),  # the text up to the first full stop counts
        (POPE, "no", ("No. Yes", "n,o")),  # commas are dropped, and join what they part
        (POPE, "yes", ("No,there",)),
        (POPE, "yes", ("Well\nno", "\tNo", "no!")),  # words are parted by single spaces only
        (POPE, "no", ("Well  no",)),
        # MME: the first four characters
        (MME, "yes", ("Yes", "YES, it is", "yes.", " yes", "eyes", "yes no")),
        (MME, "no", ("No", "NO.", "no, yes", "not", "\nNo", "I no", "know")),
        (MME, None, ("", "It is", "  yes", "The answer is yes", "nay", "Y")),
        # GQA: blanks, case and periods at the end are forgiven, number words and articles are not
        (GQA("yes"), True, ("yes", "Yes", " yes\n", "Yes.", "yes..", "YES. ", "Yes .")),
        (GQA("yes"), False, ("", "yes!", "the yes", "yes, it is", "ye.s", ".yes", "one")),
        (GQA("two"), False, ("2", "the two")),
    ],
)
def test_short_answers(parse, said, texts):
    assert [parse(text) for text in texts] == [said] * len(texts)


# --- ChartQA ---


def test_chartqas_numbers():
    numbers = {"5": 5, "-2.5": -2.5, "1e3": 1000, " 7 ": 7, ".5": 0.5, "12%": 0.12, "-3%": -0.03, "5 %": 0.05}
    assert {text: read_number(text) for text in numbers} == pytest.approx(numbers)
    none = ("", "%", "1,000", "$5", "1/2", "5 percent", "five", "5 million", "1.2.3", "0x10")
    assert {read_number(text) for text in none} == {None}


@pytest.mark.parametrize(
    ("gold", "right", "wrong"),
    [
        ("100", ("95", "105", "100", "100.0", "1e2", "\n 97"), ("94.9", "105.1", "-100", "nan", "inf", "-inf")),
        ("100", (), ("", "100 people")),
        ("-10", ("-9.6",), ("9.6",)),
        *(("12%", ("0.12",), ("12",)), ("0.12", ("12%",), ()), ("12", (), ("12%",))),  # a hundredth
        *(("0", ("0",), ("0.0", "0.01", "0%")), ("0%", ("0%",), ())),  # zero needs the same text
        ("Yes", ("yes", " YES\n"), ("yes.", "")),  # texts are equal but for case
        *(("1,000", ("1,000",), ("1000",)), ("1/2", ("1/2",), ("0.5",)), ("$5", ("$5",), ("5",))),
        *(("[italy, spain]", ("[Italy, Spain]",), ()), ("côte d'ivoire", ("Côte d'Ivoire",), ())),
        *(("nan", (), ("nan",)), ("inf", (), ("inf",))),  # nothing meets what is not finite
        ("2019", ("1919",), ()),  # the known weakness of the metric, kept
        *((14, ("14",), ()), (np.float32(14), ("14.5",), ()), (0, (), ("0.0",))),
    ],
)
def test_chartqa_forgives_five_percent_of_the_gold_number(gold, right, wrong):
    assert [text for text in (*right, *wrong) if is_right(text, gold)] == list(right)


def test_what_is_no_right_answer_and_no_list_of_annotators_is_refused():
    for label in (None, True, ["14"]):
        with pytest.raises(ValueError, match="a right answer is a text or a number"):
            is_right("None", label)
    for score in (score_answer, score_textvqa):
        for annotators, message in (("xxxx", "a list of texts, not the text"), ([], "no annotator")):
            with pytest.raises(ValueError, match=message):
                score("x", annotators)


# --- VQAv2 and TextVQA ---


def test_soft_accuracy_is_a_mean_over_leave_one_out():
    """Not min(1, agreeing / 3): the annotator that is left out does not count for himself."""
    for score in (score_answer, score_textvqa):
        for agreeing, accuracy in ((0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)):
            answers = ["yes"] * agreeing + ["no"] * (10 - agreeing)
            assert score("yes", answers).score == pytest.approx(accuracy)
    assert score_answer("yes", ["yes", "yes", "no"]).score == pytest.approx((1 / 3 + 1 / 3 + 2 / 3) / 3)


@pytest.mark.parametrize(
    ("answer", "annotators", "accuracy"),
    [
        ("yes", ["yes"] * 10, 1),  # not normalised where all annotators agree
        ("Yes", ["yes"] * 10, 0),
        ("yes.", ["yes"] * 10, 0),
        ("Yes.", ["yes"] * 9 + ["no"], 1),  # normalised on both sides where they differ
        ("2 dogs", ["the two dogs"] * 9 + ["cat"], 1),
        ("\n yes\t", ["yes"] * 10, 1),  # line feeds, tabs and blanks go in any case
        ("two men", ["two\tmen\n"] * 10, 1),
        ("Yes", ["yes"] * 5 + ["yes "] * 5, 0),  # blanks alone do not make annotators differ
        ("YES!", ["yes"] * 5 + ["Yes"] * 5, 1),  # case alone does
        ("", ["yes"] * 9 + ["no"], 0),
        ("", ["the"] * 5 + ["dog"] * 5, 1),  # an empty answer matches an answer of articles only
        ("Café", ["café"] * 9 + ["bar"], 1),
        ("cafe", ["café"] * 9 + ["bar"], 0),
    ],
)
def test_vqav2_normalises_only_where_annotators_differ(answer, annotators, accuracy):
    assert score_answer(answer, annotators).score == accuracy
    assert score_answer(answer, np.array(annotators)).score == accuracy


def test_textvqa_normalises_both_sides_even_where_all_annotators_agree():
    assert score_textvqa("Joe's.", ["JOE'S"] * 10).score == score_textvqa("two", ["2"] * 10).score == 1
    assert score_textvqa("joes", ["joe's"] * 10).score == score_textvqa("", ["coke"] * 10).score == 0
    assert score_textvqa("coke", ["Coke."] * 3 + ["pepsi"] * 7).score == pytest.approx(0.9)
    assert score_textvqa("the", [""] * 10).score == 1


# --- the VQA scripts' texts ---

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
