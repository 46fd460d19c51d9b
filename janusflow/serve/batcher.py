"""The queue in front of a model: bounded, and emptied in batches by one thread.

What arrives while a pass runs waits, and what waits under one key goes into the next pass together. Nobody waits for a
batch to fill: alone, a job starts at once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from typing import Any

logger = logging.getLogger(__name__)
END = object()


class Full(Exception):
    """The queue has no room, or takes nothing more because the server ends."""


class Failed(Exception):
    """A pass came to no end: the model's fault, or the machine's, not the request's."""


class Gone(Exception):
    """Nobody waits for any job of the pass any more."""


class Job:
    """One picture to draw or one answer to write, made in the event loop that waits for it."""

    def __init__(self, key: Hashable, work: Any) -> None:
        self.key, self.work = key, work
        self.gone = False  # nobody waits for it any more
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Any] = asyncio.Queue()

    def tell(self, event: Any) -> None:
        """Hand a result, a part of one or an exception to who waits; from any thread."""
        if not self.gone:
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def results(self) -> AsyncIterator[Any]:
        """What it is told, to its end. Raises what it is told as an exception."""
        while (event := await self._events.get()) is not END:
            if isinstance(event, Exception):
                raise event
            yield event


class Batcher:
    """run: works on jobs of one key and tells each its results; the end is told here.

    size: jobs of a pass, at most; room: jobs that wait, at most.
    """

    def __init__(self, run: Callable[[Sequence[Job]], None], size: int, room: int) -> None:
        self.run, self.size, self.room = run, size, room
        self.waiting: deque[Job] = deque()
        self.closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether jobs are worked on."""
        return self._thread.is_alive()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue all of ``jobs`` or none. Raises :class:`Full`."""
        with self._changed:
            self._check_room(len(jobs))
            self.waiting.extend(jobs)
            self._changed.notify()

    def check_room(self) -> None:
        """Raises :class:`Full` where a job would not be taken."""
        with self._changed:
            self._check_room(1)

    def _check_room(self, jobs: int) -> None:
        self._forget()
        if self.closed or len(self.waiting) + jobs > self.room:
            raise Full

    def close(self) -> None:
        """Take no more jobs, finish those that are here, and end."""
        with self._changed:
            self.closed = True
            self._changed.notify()
        self._thread.join()

    def _forget(self) -> None:
        self.waiting = deque(job for job in self.waiting if not job.gone)

    def _take(self) -> list[Job]:
        """The jobs of the next pass: those with the key of whoever has waited longest. Empty when all is over."""
        with self._changed:
            self._forget()
            while not self.waiting and not self.closed:
                self._changed.wait()
                self._forget()
            same = [job for job in self.waiting if job.key == self.waiting[0].key][: self.size]
            for job in same:
                self.waiting.remove(job)
            return same

    def _work(self) -> None:
        while jobs := self._take():
            end: Any = END
            try:
                self.run(jobs)
            except Gone:
                pass
            except Exception as error:  # one that fails is no reason to end
                logger.exception("a pass failed")
                end = Failed(str(error) if isinstance(error, ValueError) else "the model failed")
            for job in jobs:
                job.tell(end)
