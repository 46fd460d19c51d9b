"""The processes that make batches ahead of the trainer: how they start, and which signals end them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.context import BaseContext

from janusflow.training import distributed

PASSED_ON = 3.0  # seconds in which a launcher may pass the signal of a whole job on again


def start_method() -> BaseContext | None:
    """How workers start: beside other ranks from a server of their own, else as the system does (None).

    Communication has threads, and a fork copies the locks they hold: a worker may wait for one of them for ever
    (PyTorch's notes on ``DistributedDataParallel``). The server has imported what workers need, and no such threads.
    """
    if sys.platform == "win32" or distributed.world_size() == 1:
        return None
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["janusflow.training.data"])
    # The server inherits the blocked signals and outlives them; so do its workers, until they can receive them.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def receive_signals(worker: int) -> None:
    """Leave Ctrl-C and SIGTERM, which reach all processes of a job, to the trainer: it still needs data.

    A SIGTERM that comes later than the first and its repetitions is the trainer's own.
    """
    first: float | None = None

    def receive(number: int, frame: object) -> None:
        nonlocal first
        now = time.monotonic()
        if first is None:
            first = now
        elif now - first > PASSED_ON:
            os._exit(128 + number)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, receive)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
