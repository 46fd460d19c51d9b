"""``janusflow demo``: the page as a process."""

from __future__ import annotations

import os
import webbrowser
from collections.abc import Callable
from threading import Timer
from typing import TYPE_CHECKING

from janusflow.checkpoints.pretrained import Bundle
from janusflow.demo.config import DemoConfig
from janusflow.demo.models import Shown, counterpart
from janusflow.serve.limits import LOOPBACK
from janusflow.serve.process import address, run

if TYPE_CHECKING:
    from fastapi import FastAPI

PATIENCE = 3.0  # seconds for open pages at the end


def demo(load: Callable[[str], Bundle], model: str, config: DemoConfig, revision: str | None = None) -> int:
    """Show the page of ``model``, as the command line names it. Raises ``ValueError`` without the port or the model."""
    listener = config.listen()
    shown = Shown(model, load, revision)
    other = config.against or counterpart(model)
    against = None if other is None else Shown(other, load, revision if config.against else None)
    app = build_app(shown, against, config)
    if config.open:
        Timer(1.0, webbrowser.open, [address(listener, config.host)]).start()
    return run(app, listener, shown.name, config.host, PATIENCE)


def build_app(shown: Shown, against: Shown | None, config: DemoConfig) -> FastAPI:
    """The page as an application. Raises ``ValueError`` where gradio is missing."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # it would tell its makers that it was started
    try:
        import gradio as gr
        from fastapi import FastAPI
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        from janusflow.demo.page import STYLE, THEME, build
    except ModuleNotFoundError as error:
        raise ValueError(f"this needs {error.name}: pip install 'janusflow[demo]'") from error
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    if config.loopback:  # a page elsewhere that gives itself this address does not get in
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK], www_redirect=False)
    return gr.mount_gradio_app(
        app,
        build(shown, against, config),
        path="/",
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        max_file_size=int(config.max_megabytes * 1e6),
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=THEME,
        css=STYLE,
    )
