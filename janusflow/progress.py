"""How far a long call is: what it reports, and the bar that shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

Progress = Callable[[int, int], None]  # progress(done, total)


@contextmanager
def progress_bar(what: str, unit: str, **settings: Any) -> Iterator[Progress]:
    """A bar on a terminal that follows what is reported to it; ``settings`` are tqdm's."""
    with tqdm(desc=what, unit=unit, **{"disable": None, **settings}) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report
