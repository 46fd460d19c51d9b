"""What the server counts, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one server, in a registry of its own, with the process's memory and time."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = self._new(Counter, "requests", "requests by path and status", ["path", "status"])
        self.seconds = self._new(Histogram, "request_seconds", "from arrival to the end", ["path"], buckets=SECONDS)
        self.batches = self._new(Histogram, "batch_size", "jobs of a pass", ["kind"], buckets=BATCHES)
        self.images = self._new(Counter, "images", "pictures drawn")
        self.tokens = self._new(Counter, "answer_tokens", "tokens of answers")
        self.waiting = self._new(Gauge, "waiting", "pictures and answers in the queue")

    def _new(self, kind: Any, name: str, text: str, labels: Sequence[str] = (), **more: Any) -> Any:
        return kind(f"janusflow_{name}", text, labels, registry=self.registry, **more)


class Counted:
    """Middleware that counts requests by the path of their route, so that no request adds a name."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(path, str(status)).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - began)
