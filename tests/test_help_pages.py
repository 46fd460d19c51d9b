"""Every help page of every command, as a user reads it."""

import re

import pytest

import train
from eval.__main__ import main as evaluate
from janusflow.cli import main
from janusflow.parts.__main__ import main as parts

COMMANDS = {"train.py": train.main, "janusflow.parts": parts, "janusflow": main, "eval": evaluate}


@pytest.fixture
def page(monkeypatch, capsys):
    """The help page of a command."""
    monkeypatch.setenv("COLUMNS", "400")  # an option and its text on a line, or on two

    def read(run, *words):
        with pytest.raises(SystemExit, match="0"):
            run([*words, "--help"])
        return capsys.readouterr().out

    return read


def pages(page, run, words=()):
    """A command's page and those of its subcommands."""
    text = page(run, *words)
    yield words, text
    if " ..." in text.splitlines()[0]:
        for name in re.findall(r"^    ([a-z][\w-]*)$|^    ([a-z][\w-]*)  ", text, re.M):
            yield from pages(page, run, (*words, "".join(name)))


def options(text):
    """What a page says of every option, and of every other argument."""
    listed = text.partition("arguments:\n")[2] or text.partition("options:\n")[2]
    return re.findall(r"^  (?! )(.+(?:\n {6,}.*)*)", listed.partition("\nexamples")[0], re.M)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained_and_every_default_named_once(page, command):
    found = list(pages(page, COMMANDS[command]))
    assert len(found) >= {"janusflow": 6, "eval": 28}.get(command, 1)
    for words, text in found:
        assert "``" not in text and "SUPPRESS" not in text, (words, text)
        told = options(text)
        assert told, (words, text)
        for one in told:
            assert re.search(r"\S(  +|\n +)\S", one) or one == "COMMAND" or one == "TASK", f"{words}: {one} has no text"
            assert one.count("(default") <= 1, (words, one)
            assert not re.search(r"default: *(None|False|\[|\()", one), (words, one)


def test_options_without_a_meaning_are_not_there(page, capsys):
    questions, pictures, both = (page(evaluate, "run", task) for task in ("pope", "geneval", "world"))
    assert "--answers " in questions and "--images " not in questions and "--seed" not in questions
    assert "--images " in pictures and "--answers " not in pictures
    assert "--images " in both and "--answers " in both
    swept = page(evaluate, "sweep", "world")
    assert "--images " not in swept and "--answers " not in swept and "world-sweep" in swept
    for run, words in (
        (main, ["export", "runs/mine", "out", "--model", "x"]),  # which of the two would it be?
        (evaluate, ["run", "pope", "--images", "x"]),  # not short for --images-root
    ):
        with pytest.raises(SystemExit, match="2"):
            run(words)
        assert f"unrecognized arguments: {' '.join(words[-2:])}" in capsys.readouterr().err
