"""The server: requests to jobs, jobs to responses.

A request is checked in full before it waits: what is queued can be drawn or answered. Annotations stay objects here,
for FastAPI reads them where the image request, made for the model's head, is a local name.
"""

import asyncio
import base64
import json
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, Response, StreamingResponse

from janusflow import __version__
from janusflow.checkpoints.pretrained import Bundle
from janusflow.data.transforms import fitted
from janusflow.inference.answers import Conversation, tokenize
from janusflow.serve.batcher import Batcher, Job
from janusflow.serve.config import ServeConfig
from janusflow.serve.errors import Patience, answer_errors, body_of, told
from janusflow.serve.limits import LOOPBACK
from janusflow.serve.metrics import Counted, Metrics
from janusflow.serve.schemas import ChatRequest, ImageRequest, image_request
from janusflow.serve.work import Drawing, End, Shaped, Talk, Worker

T = TypeVar("T")
LEFT = Response(status_code=499)  # nobody reads it


class Service:
    """A model, its queue and its counters."""

    def __init__(self, bundle: Bundle, name: str, config: ServeConfig) -> None:
        self.bundle, self.name, self.config = bundle, name, config
        self.metrics = Metrics()
        self.batcher = Batcher(Worker(bundle, self.metrics), config.batch_size, config.queue)
        self.metrics.waiting.set_function(lambda: len(self.batcher.waiting))
        self.began = int(time.time())

    def check_name(self, name: str | None) -> None:
        """Raise an error 404 for another model than this one."""
        if name not in (None, self.name):
            raise HTTPException(404, f"there is no model {name!r} here, only {self.name!r}")

    def card(self) -> dict[str, Any]:
        """The model, in the list of models."""
        return {"id": self.name, "object": "model", "created": self.began, "owned_by": "janusflow"}

    async def draw(self, request: Request, asked: ImageRequest) -> Response:
        """Pictures of a prompt."""
        self.check_name(asked.model)
        size = None if asked.size == "auto" else self.config.check_size(self.bundle, asked.size, height_first=False)
        if asked.n > self.config.max_images:
            raise ValueError(f"n is at most {self.config.max_images}, got {asked.n}")
        options = self.config.check_drawing(self.bundle, asked.prompt, asked.options(), size)
        key = options if size is None else Shaped(options, size)
        first = secrets.randbits(32) if asked.seed is None else asked.seed
        jobs = [Job(key, Drawing(asked.prompt, first + number)) for number in range(asked.n)]
        self.batcher.submit(jobs)
        files = await self.wait(request, jobs, asyncio.gather(*map(only, jobs)))
        if files is None:
            return LEFT
        data = [
            {"b64_json": base64.b64encode(file).decode(), "seed": job.work.seed}
            for file, job in zip(files, jobs, strict=True)
        ]
        return JSONResponse({"created": int(time.time()), "model": self.name, "data": data})

    async def chat(self, request: Request, asked: ChatRequest) -> Response:
        """The next answer of a conversation, whole or as a stream."""
        self.check_name(asked.model)
        options = asked.decoding(self.config)
        self.batcher.check_room()
        talk = await asyncio.to_thread(self.reduced, asked)
        length = len(tokenize(self.bundle, talk, options))
        job = Job(options, Talk(talk, asked.seed))
        self.batcher.submit([job])
        reply = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": self.name}
        if asked.stream:
            chunks = self.chunks(job, reply, length if asked.stream_options.include_usage else None)
            return StreamingResponse(chunks, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        pieces = await self.wait(request, [job], whole(job))
        if pieces is None:
            return LEFT
        *texts, end = pieces
        message = {"role": "assistant", "content": "".join(texts)}
        choice = {"index": 0, "message": message, "finish_reason": end.reason}
        return JSONResponse(
            {**reply, "object": "chat.completion", "choices": [choice], "usage": usage(length, end.tokens)}
        )

    def reduced(self, asked: ChatRequest) -> Conversation:
        """The conversation with its pictures decoded, no larger than the model sees them while they wait."""
        talk = asked.conversation(self.config)
        side, settings = self.bundle.model.config.vision.image_size, self.bundle.preprocessing
        return talk._replace(images=[fitted(image, side, settings) for image in talk.images])

    async def chunks(self, job: Job, reply: dict[str, Any], length: int | None) -> AsyncIterator[str]:
        """An answer as server-sent events; ``length`` of its prompt where the usage is wanted too."""
        reply = {**reply, "object": "chat.completion.chunk"}

        def event(delta: dict[str, str], reason: str | None = None) -> str:
            return sent({**reply, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})

        until = asyncio.get_running_loop().time() + self.config.timeout
        results = job.results()
        try:
            yield event({"role": "assistant", "content": ""})
            while True:
                left = until - asyncio.get_running_loop().time()
                piece = await asyncio.wait_for(anext(results), left)
                if isinstance(piece, End):
                    break
                yield event({"content": piece})
            yield event({}, piece.reason)
            if length is not None:
                yield sent({**reply, "choices": [], "usage": usage(length, piece.tokens)})
        except Exception as error:  # the status is sent already
            yield sent(body_of(*told(error)))
        finally:
            job.gone = True
        yield "data: [DONE]\n\n"

    async def wait(self, request: Request, jobs: Sequence[Job], work: Awaitable[T]) -> T | None:
        """What ``work`` gives, or None where the client leaves before. Raises ``TimeoutError`` when it takes too long.

        Jobs that nobody waits for any more are dropped, in the queue or in their pass.
        """
        task, left = asyncio.ensure_future(work), asyncio.ensure_future(until_left(request))
        try:
            done, _ = await asyncio.wait({task, left}, timeout=self.config.timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise asyncio.TimeoutError
            return task.result() if task in done else None
        finally:
            for job in jobs:
                job.gone = True
            task.cancel()
            left.cancel()


async def whole(job: Job) -> list[Any]:
    """All that a job is told."""
    return [event async for event in job.results()]


async def only(job: Job) -> Any:
    """The one thing that a job is told."""
    (result,) = await whole(job)
    return result


async def until_left(request: Request) -> None:
    """Wait for the client to close its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def usage(prompt: int, completion: int) -> dict[str, int]:
    """Tokens of a request and its answer."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def sent(values: dict[str, Any]) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(values, ensure_ascii=False)}\n\n"


def build_app(bundle: Bundle, name: str, config: ServeConfig) -> FastAPI:
    """The server of a model, which clients call ``name``."""
    service = Service(bundle, name, config)
    Drawn: Any = image_request(bundle.model.config.head.sampling(bundle.sampling))

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.batcher.close)

    app = FastAPI(title="janusflow", version=__version__, docs_url=None, redoc_url=None, lifespan=life)
    app.state.service = service
    answer_errors(app)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=int(config.max_megabytes * 1e6))
    app.add_middleware(Patience, seconds=config.timeout)
    if config.loopback:  # a page elsewhere that gives itself this address does not get in
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK], www_redirect=False)
    app.add_middleware(Counted, metrics=service.metrics)

    @app.post("/v1/images/generations")
    async def images(request: Request, asked: Drawn) -> Response:
        return await service.draw(request, asked)

    @app.post("/v1/chat/completions")
    async def chat(request: Request, asked: ChatRequest) -> Response:
        return await service.chat(request, asked)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [service.card()]}

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> dict[str, Any]:
        service.check_name(name)
        return service.card()

    @app.get("/health")
    async def health() -> JSONResponse:
        alive = service.batcher.alive
        state = {"status": "ok" if alive else "dead", "model": service.name, "waiting": len(service.batcher.waiting)}
        return JSONResponse(state, 200 if alive else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app
