"""Command-line flags from dataclasses: a field's name, type and default, and the help text in its metadata."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

T = TypeVar("T")


def flag(default: Any, text: str, choices: tuple[str, ...] | None = None) -> Any:
    """A dataclass field that is a command-line flag: its default, its help text, and what may be chosen."""
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices})


def add_flags(parser: Any, options: type) -> None:
    """Add a flag for every field of the dataclass ``options``. A parser, or a group of one."""
    kinds = get_type_hints(options)
    for field in dataclasses.fields(options):
        name = "--" + field.name.replace("_", "-")
        text, choices = field.metadata["help"], field.metadata["choices"]
        if kinds[field.name] is bool:
            parser.add_argument(name, action=argparse.BooleanOptionalAction, default=field.default, help=text)
            continue
        parser.add_argument(
            name, type=_kind(kinds[field.name]), default=field.default, choices=choices, help=text, metavar=None
        )


def from_flags(args: argparse.Namespace, options: type[T]) -> T:
    """The dataclass with the values that the command line gave."""
    return options(**{field.name: getattr(args, field.name) for field in dataclasses.fields(options)})  # type: ignore[arg-type]


def _kind(hint: Any) -> type:
    """``int`` of ``int`` and of ``int | None``."""
    kinds = [kind for kind in (get_args(hint) or (hint,)) if kind is not type(None)]
    assert len(kinds) == 1 and kinds[0] in (int, float, str, Path), f"no flag can be of type {hint}"
    return kinds[0]
