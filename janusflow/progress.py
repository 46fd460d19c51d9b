"""How far a long call is: what it reports, and the bar that shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[int, int], None]  # progress(done, total)


def terminal() -> Console | None:
    """The terminal behind stderr; None where there is none that moves."""
    from rich.console import Console

    console = Console(stderr=True)
    return console if console.is_terminal and not console.is_dumb_terminal else None


@contextmanager
def progress_bar(what: str, unit: str, leave: bool = True, show: bool = True) -> Iterator[Progress]:
    """A bar on a terminal that follows what is reported to it, also within another; without a terminal nothing.

    leave: whether it stays when it is done.
    """
    console = terminal() if show else None
    if console is None:
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    with Bars(*columns, TimeRemainingColumn(), console=console, transient=not leave) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
