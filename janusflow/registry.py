"""Parts that are chosen by name: heads, losses, samplers, guidance forms, sources, tasks.

A name is one of ours, an entry point of an installed package (``[project.entry-points."janusflow.heads"]``), or a path
``module:attribute``, whose module may lie in the working folder. Nothing is imported before it is chosen.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

T = TypeVar("T")


class Registry(Generic[T]):
    """Name -> part.

    what: a part, in errors. group: of the entry points that add to it. own: our names -> ``module:attribute``.
    """

    def __init__(self, what: str, group: str, own: Mapping[str, str]) -> None:
        self.what, self.group, self.own = what, group, dict(own)

    @cached_property
    def paths(self) -> dict[str, str]:
        """Every name with its path; an entry point does not take one of our names."""
        installed = {point.name: point.value for point in entry_points(group=self.group)}
        return {**installed, **self.own}

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def load(self, name: str) -> T:
        """The part of that name or path. Raises ``ValueError`` where there is none, or its module fails."""
        path = name if ":" in name else self.own.get(name) or self.paths.get(name)  # ours: nothing installed is read
        if path is None:
            near = difflib.get_close_matches(name, self.paths, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(self.paths)}, or module:name"
            raise ValueError(f"unknown {self.what} {name!r}; {hint}")
        module, _, attribute = path.partition(":")
        if ":" in name and "" not in sys.path:
            sys.path.append("")  # installed commands do not look into the working folder
        try:
            import_module(module)
            return EntryPoint(name, path, self.group).load()
        except ModuleNotFoundError as error:
            raise ValueError(f"the {self.what} {name!r} cannot be imported: {error}") from error
        except AttributeError as error:
            raise ValueError(f"the {self.what} {name!r}: {module} has no {attribute}") from error
