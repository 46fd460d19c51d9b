"""Command lines whose help pages read well: every default named once, docstrings without their marks."""

from __future__ import annotations

import argparse
from inspect import cleandoc
from typing import Any


class HelpFormatter(argparse.HelpFormatter):
    """A default behind every option that has one and does not name it itself; texts of several lines as they are."""

    def add_text(self, text: str | None) -> None:
        super().add_text(text and cleandoc(text).replace("``", ""))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if "\n" in text else super()._fill_text(text, width, indent)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default, text = action.default, action.help
        if text is None or "(default" in text or not action.option_strings or action.required:
            return text
        if default is None or default is False or default == argparse.SUPPRESS:
            return text
        several = isinstance(default, (list, tuple))
        shown = " ".join(map(str, default)) if several else "%(default)s"
        return f"{text} (default: {shown})" if shown else text


class Parser(argparse.ArgumentParser):
    """A parser with such help pages, as those of its subcommands; options are written in full."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": HelpFormatter, "allow_abbrev": False, **settings})
