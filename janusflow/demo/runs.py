"""What a page's work has in common: it can be stopped, says how far it is, and names what is wrong in a line."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr

from janusflow.samplers import OnStep

ALONE: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}  # of listeners that run a model


PROGRESS = gr.Progress()  # the argument in this place is the event's own


class Stopped(Exception):
    """Its user wants a drawing to end."""


class Stops:
    """Sessions whose running work is to end."""

    def __init__(self) -> None:
        self._asked: set[str | None] = set()

    def begin(self, request: gr.Request) -> None:
        """New work begins: earlier wishes are over."""
        self._asked.discard(request.session_hash)

    def ask(self, request: gr.Request) -> None:
        """The session's work is to end."""
        self._asked.add(request.session_hash)

    def asked(self, request: gr.Request) -> bool:
        """Whether it is."""
        return request.session_hash in self._asked

    def on_step(self, request: gr.Request, progress: gr.Progress, what: str = "drawing") -> OnStep:
        """What a drawing calls after each step. Raises :class:`Stopped`."""

        def step(done: int, total: int, latents: object) -> None:
            if self.asked(request):
                raise Stopped
            progress((done, total), what, total, "steps")

        return step


def told(work: Callable) -> Callable:
    """``work``, a listener, whose ``ValueError`` is a line on the page, and whose end by its user is none."""

    @functools.wraps(work)
    def plain(*args: Any, **more: Any) -> Any:
        try:
            return work(*args, **more)
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error
        except Stopped:
            gr.Info("stopped")
            return gr.skip()

    @functools.wraps(work)
    def stream(*args: Any, **more: Any) -> Any:
        try:
            yield from work(*args, **more)
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error
        except Stopped:
            gr.Info("stopped")

    return stream if inspect.isgeneratorfunction(work) else plain
