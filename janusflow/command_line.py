"""What all commands share: help pages that name every default once, and exit codes."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


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


def run_command(command: Callable[[], int], interrupted: str = "interrupted") -> int:
    """What ``command`` returns, or 2 for bad input (one line on stderr), 130 when ``interrupted``, 141 when nobody
    reads its output any more.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without a character is no reason to fail
    try:
        with notes_on_stderr():
            code = command()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter would write on at its end
        return 128 + 13  # SIGPIPE
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 128 + 2  # SIGINT


@contextmanager
def notes_on_stderr() -> Iterator[None]:
    """Show what the package logs as lines of stderr, whatever else is logged where."""
    logger, handler = logging.getLogger("janusflow"), logging.StreamHandler()
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


def find_device(name: str | None) -> torch.device:
    """The device of that name, or the best there is. Raises ``ValueError`` where it cannot be used."""
    import torch

    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"cannot use the device {name!r}: {str(error).splitlines()[0]}") from error
    return device


def make_folder(path: Path) -> None:
    """Create ``path``. Raises ``ValueError`` where that is impossible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot write to {path}: {error.strerror}") from error
