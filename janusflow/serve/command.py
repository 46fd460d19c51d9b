"""``janusflow serve``: the server as a process, from its port to its end."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from janusflow.checkpoints.pretrained import Bundle
from janusflow.serve.config import ServeConfig

CONNECTIONS = 512  # at once


def serve(load: Callable[[], Bundle], model: str, config: ServeConfig) -> int:
    """Serve what ``load`` gives until SIGTERM, or Ctrl-C: then requests that are here are finished, and no more taken.

    model: as the command line names it. Raises ``ValueError`` where the port cannot be had.
    """
    try:
        import uvicorn

        from janusflow.serve.app import build_app
    except ModuleNotFoundError as error:
        raise ValueError(f"this needs {error.name}: pip install 'janusflow[serve]'") from error
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # which uvicorn sends again when all is done
    listener = config.listen()
    name = config.name or public_name(model)
    app = build_app(load(), name, config)
    settings = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=int(config.timeout) + 1,
    )
    print(f"{name} on {address(listener, config.host)}", flush=True)
    uvicorn.Server(settings).run([listener])
    return 0


def public_name(model: str) -> str:
    """A model's name, without the folders where it lies."""
    path = Path(model).resolve()
    return (path.parent if path.name == "model" else path).name if path.exists() else model


def address(listener: socket.socket, host: str) -> str:
    """Where a browser finds the port."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
