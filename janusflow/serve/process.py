"""A server as a process, from its port to its end."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path
from typing import Any

CONNECTIONS = 512  # at once


def run(app: Any, listener: socket.socket, title: str, host: str, patience: float) -> int:
    """Serve ``app`` until SIGTERM, or Ctrl-C: then requests that are here are finished within ``patience`` seconds, and
    no more are taken. Returns an exit code."""
    import uvicorn

    settings = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=int(patience) + 1,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # uvicorn takes it, and sends it again when all is done
    print(f"{title} on {address(listener, host)}", flush=True)
    uvicorn.Server(settings).run([listener])
    return 0


def public_name(model: str) -> str:
    """A model's name, without the folders where it lies."""
    path = Path(model).resolve()
    return (path.parent if path.name == "model" else path).name if path.exists() else model


def address(listener: socket.socket, host: str) -> str:
    """Where a browser finds the port."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
