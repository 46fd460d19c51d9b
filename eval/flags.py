"""Command-line flags from dataclasses: a field's name, type and default, and the help text in its metadata."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def flag(default: Any, text: str, choices: tuple[str, ...] | None = None) -> Any:
    """A dataclass field that is a command-line flag: its default, its help text, and what may be chosen."""
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices})


def add_flags(parser: Any, options: type) -> None:
    """Add a flag for every field of the dataclass ``options`` that has a help text. A parser, or a group of one."""
    kinds = get_type_hints(options)
    for field in dataclasses.fields(options):
        if "help" not in field.metadata:
            continue
        settings: dict[str, Any] = {"default": field.default, "help": field.metadata["help"]}
        hint = kinds[field.name]
        if hint is bool:
            settings["action"] = argparse.BooleanOptionalAction
        else:
            settings |= {"type": _kind(hint), "choices": field.metadata["choices"]}
            settings |= {"nargs": "+"} if get_origin(hint) is tuple else {}
        parser.add_argument("--" + field.name.replace("_", "-"), **settings)


def from_flags(args: argparse.Namespace, options: type[T], **others: Any) -> T:
    """The dataclass with the values that the command line gave, and ``others`` of fields that are no flags."""
    names = [field.name for field in dataclasses.fields(options) if "help" in field.metadata]  # type: ignore[arg-type]
    given = {name: getattr(args, name) for name in names}
    return options(**{name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}, **others)


def _kind(hint: Any) -> type:
    """``int`` of ``int``, of ``int | None`` and of ``tuple[int, ...]``."""
    kinds = [kind for kind in (get_args(hint) or (hint,)) if kind not in (type(None), ...)]
    assert len(kinds) == 1 and kinds[0] in (int, float, str, Path), f"no flag can be of type {hint}"
    kind: type = kinds[0]
    return kind
