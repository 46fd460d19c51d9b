"""``janusflow serve``: a model behind HTTP."""

from __future__ import annotations

from collections.abc import Callable

from janusflow.checkpoints.pretrained import Bundle
from janusflow.serve.config import ServeConfig
from janusflow.serve.process import public_name, run


def serve(load: Callable[[], Bundle], model: str, config: ServeConfig) -> int:
    """Serve what ``load`` gives; ``model``: as the command line names it. Raises ``ValueError`` without the port."""
    try:
        import uvicorn  # noqa: F401

        from janusflow.serve.app import build_app
    except ModuleNotFoundError as error:
        raise ValueError(f"this needs {error.name}: pip install 'janusflow[serve]'") from error
    listener = config.listen()
    name = config.name or public_name(model)
    return run(build_app(load(), name, config), listener, name, config.host, config.timeout)
