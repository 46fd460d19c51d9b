"""What a client is told where something is wrong: one shape, a status, and nothing of the machine."""

from __future__ import annotations

import asyncio
import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from janusflow.serve.batcher import Failed, Full

logger = logging.getLogger(__name__)


def body_of(status: int, message: str) -> dict:
    """An error as clients of the widely used endpoints read it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def answer(status: int, message: str, **headers: str) -> JSONResponse:
    """Such an error as a response."""
    return JSONResponse(body_of(status, message), status, headers)


def told(error: BaseException) -> tuple[int, str]:
    """Status and text of an error."""
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part != "body")
        return (400 if first["type"] == "json_invalid" else 422), f"{place}: {first['msg']}" if place else first["msg"]
    if isinstance(error, HTTPException):
        return error.status_code, error.detail
    if isinstance(error, ValueError):
        return 422, str(error)
    if isinstance(error, Full):
        return 429, "too many requests are waiting: try again later"
    if isinstance(error, asyncio.TimeoutError):
        return 504, "this took too long"
    return 500, str(error) if isinstance(error, Failed) else "an internal error"


def answer_errors(app: FastAPI) -> None:
    """Have ``app`` answer all of them."""

    async def handle(request: Request, error: Exception) -> Response:
        status, message = told(error)
        return answer(status, message, **({"Retry-After": "1"} if status == 429 else {}))

    async def fail(request: Request, error: Exception) -> Response:
        return await handle(request, error)

    for kind in (RequestValidationError, HTTPException, ValueError, Full, Failed, asyncio.TimeoutError):
        app.add_exception_handler(kind, handle)
    app.add_exception_handler(Exception, fail)


class Patience:
    """Middleware that waits ``seconds`` for a request's body, no longer: a slow sender holds a connection, not more.

    What is refused before its body is there is still read to its end, and dropped: clients listen when they have sent.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app, self.seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        end = asyncio.get_running_loop().time() + self.seconds
        whole = False

        async def patient() -> Message:
            nonlocal whole
            if whole:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), end - asyncio.get_running_loop().time())
            except asyncio.TimeoutError:
                raise HTTPException(408, "the request did not come to its end in time") from None
            whole = not message.get("more_body", False)
            return message

        async def behind_the_body(message: Message) -> None:
            while not whole and message["type"] == "http.response.start":
                try:
                    if (await patient())["type"] == "http.disconnect":
                        break
                except HTTPException:
                    break
            await send(message)

        await self.app(scope, patient, behind_the_body)
