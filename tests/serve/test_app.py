# ruff: noqa: E402
"""The server's endpoints in this process, with a tiny model: results, refusals, batches, those who leave."""

import asyncio
import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("prometheus_client", reason="the extra serve is not installed")
httpx = pytest.importorskip("httpx", reason="httpx is not installed")
from starlette.testclient import TestClient

from janusflow.inference.answers import Conversation, DecodingOptions, answer
from janusflow.inference.images import generate_images
from janusflow.options import FlowSampling
from janusflow.serve.app import build_app
from janusflow.serve.config import ServeConfig
from janusflow.worlds.scenes import render, sample_scene

PROMPTS = ["a red circle", "three green triangles left of a blue star", "a ring", "two rings", "a star", "a square"]
DRAW, CHAT = "/v1/images/generations", "/v1/chat/completions"
HERE = "http://127.0.0.1"


@pytest.fixture
def client(bundle):
    with TestClient(build_app(bundle, "tiny", ServeConfig(max_megabytes=0.05)), base_url=HERE) as client:
        yield client


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def data_url(image):
    return f"data:image/png;base64,{base64.b64encode(png(image)).decode()}"


def pictures(response):
    assert response.status_code == 200, response.text
    return [Image.open(io.BytesIO(base64.b64decode(item["b64_json"]))) for item in response.json()["data"]]


def close(a, b):
    """Equal but for roundings at the edge of a level."""
    return np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 1


def test_pictures_are_those_of_the_engine_and_say_how_they_were_drawn(client, bundle):
    asked = {"prompt": PROMPTS[0], "n": 2, "seed": 5, "steps": 2, "guidance": 3, "guidance_interval": [0.1, 1]}
    response = client.post(DRAW, json={**asked, "size": "16x16", "model": "tiny"})
    drawn = pictures(response)
    options = FlowSampling(2, 3.0, guidance_interval=(0.1, 1.0))
    expected = generate_images(bundle, PROMPTS[:1] * 2, [5, 6], options)
    assert [item["seed"] for item in response.json()["data"]] == [5, 6]
    assert all(map(close, drawn, expected)) and not close(*drawn)
    assert drawn[1].text["seed"] == "6" and drawn[1].text["guidance_interval"] == "(0.1, 1.0)"
    seeds = [client.post(DRAW, json={"prompt": "a ring", "steps": 1}).json()["data"][0]["seed"] for _ in range(2)]
    assert seeds[0] != seeds[1], "without a seed every picture is another"


def test_a_size_is_width_and_height_as_in_the_endpoint_that_clients_know(client, bundle):
    asked = {"prompt": PROMPTS[0], "seed": 5, "steps": 2, "guidance": 3}
    drawn = pictures(client.post(DRAW, json={**asked, "size": "24x8"}))
    expected = generate_images(bundle, PROMPTS[:1], [5], FlowSampling(2, 3.0), size=(8, 24))
    assert drawn[0].width == 3 * drawn[0].height and close(drawn[0], expected[0])
    assert drawn[0].text["size"] == "8x24"


def test_an_image_is_the_same_alone_and_in_a_batch_of_other_prompts(bundle):
    app = build_app(bundle, "tiny", ServeConfig())

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE) as client:
            asked = [{"prompt": prompt, "seed": seed, "steps": 3} for seed, prompt in enumerate(PROMPTS)]
            together = await asyncio.gather(*(client.post(DRAW, json=one) for one in asked))
            alone = [await client.post(DRAW, json=one) for one in asked]
            return together, alone, (await client.get("/metrics")).text

    together, alone, metrics = asyncio.run(ask())
    for one, other in zip(together, alone, strict=True):
        assert close(*pictures(one), *pictures(other))
    counted = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    assert float(counted["janusflow_images_total"]) == 12
    assert float(counted['janusflow_batch_size_count{kind="images"}']) <= 6 + 2, "six of them in at most two passes"
    assert float(counted['janusflow_requests_total{path="/v1/images/generations",status="200"}']) == 12


def read_stream(response):
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_answers_whole_and_as_streams_are_those_of_the_engine(client, bundle):
    images = [render(sample_scene(np.random.default_rng(seed))).resize((16, 16)) for seed in range(2)]
    talk = Conversation(images, [("what color?", "red"), ("how many circles?", None)], "Be brief.")
    (expected,) = answer(bundle, [talk], DecodingOptions(8))
    shown = [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in images]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [*shown, {"type": "text", "text": "what color?"}]},
        {"role": "assistant", "content": "red"},
        {"role": "user", "content": "how many circles?"},
    ]
    asked = {"messages": messages, "max_tokens": 8}
    whole = client.post(CHAT, json=asked).json()
    choice = whole["choices"][0]
    assert choice["message"]["content"] == expected and choice["finish_reason"] in ("stop", "length")
    streamed = {**asked, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, last = read_stream(client.post(CHAT, json=streamed))
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == expected
    assert chunks[-1]["choices"][0]["finish_reason"] == choice["finish_reason"]
    assert last["usage"] == whole["usage"] and last["usage"]["completion_tokens"] <= 8


def test_answers_that_go_together_end_each_on_their_own(bundle):
    app = build_app(bundle, "tiny", ServeConfig())
    questions = [f"what is {word}?" for word in ("red", "a ring", "left of the blue star")]

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE) as client:
            bodies = [{"messages": [{"role": "user", "content": text}], "max_tokens": 12} for text in questions]
            return await asyncio.gather(*(client.post(CHAT, json=body) for body in bodies))

    texts = [response.json()["choices"][0]["message"]["content"] for response in asyncio.run(ask())]
    talks = [Conversation([], [(text, None)]) for text in questions]
    assert texts == [answer(bundle, [talk], DecodingOptions(12))[0] for talk in talks]


def said(content, **more):
    return {"messages": [{"role": "user", "content": content}], **more}


def shown(url):
    return said([{"type": "image_url", "image_url": {"url": url}}])


REFUSED = [  # path, what is sent, status, what the message names
    (DRAW, b"{", 400, "JSON"),
    (DRAW, b"[" * 20_000, 400, ""),
    (DRAW, b"\xff\xfe", 400, ""),
    (DRAW, [], 422, ""),
    (DRAW, {}, 422, "prompt"),
    (DRAW, {"prompt": " "}, 422, "empty"),
    (DRAW, {"prompt": ["a ring"]}, 422, "prompt"),
    (DRAW, {"prompt": "a\ud800ring"}, 422, "surrogates"),
    (DRAW, {"prompt": "x" * 2001}, 422, "2001"),
    (DRAW, {"prompt": "red " * 400}, 422, "positions"),
    (DRAW, {"prompt": "a ring", "n": 0}, 422, "n:"),
    (DRAW, {"prompt": "a ring", "n": 9}, 422, "9"),
    (DRAW, {"prompt": "a ring", "size": "1024x1024"}, 422, "1024x1024"),
    (DRAW, {"prompt": "a ring", "size": "10x16"}, 422, "multiples of 4"),
    (DRAW, {"prompt": "a ring", "size": "large"}, 422, "large"),
    (DRAW, {"prompt": "a ring", "seed": -1}, 422, "seed"),
    (DRAW, {"prompt": "a ring", "seed": 2**64}, 422, "seed"),
    (DRAW, {"prompt": "a ring", "response_format": "url"}, 422, "response_format"),
    (DRAW, {"prompt": "a ring", "quality": "hd"}, 422, "quality"),
    (DRAW, {"prompt": "a ring", "model": "gpt"}, 404, "gpt"),
    (DRAW, {"prompt": "a ring", "steps": 101}, 422, "101"),
    (DRAW, {"prompt": "a ring", "steps": "many"}, 422, "steps"),
    (DRAW, b'{"prompt": "a ring", "guidance": NaN}', 422, "guidance"),
    (DRAW, {"prompt": "a ring", "guidance": -1}, 422, "-1"),
    (DRAW, {"prompt": "a ring", "guidance_interval": [0.9, 0.1]}, 422, "0.9"),
    (DRAW, {"prompt": "a ring", "temperature": 1}, 422, "temperature"),
    (DRAW, {"prompt": "a ring", "sampler": "os:system"}, 422, "os:system"),
    (DRAW, {"prompt": "a ring", "guidance_form": "os:system(1)"}, 422, "os:system"),
    (DRAW, {"prompt": "a ring", "guidance_form": "apg(parallel=x)"}, 422, "parallel"),
    (DRAW, {"prompt": "a ring", "worse": "/etc"}, 422, "/etc"),
    (CHAT, {"messages": []}, 422, "messages"),
    (CHAT, said("what?", max_tokens=10_000), 422, "10000"),
    (CHAT, said("what?", temperature=9), 422, "temperature"),
    (CHAT, said("what?", stop=[""]), 422, "stop"),
    (CHAT, said("what?", tools=[]), 422, "tools"),
    (CHAT, said("red " * 400), 422, "positions"),
    (CHAT, {"messages": [{"role": "assistant", "content": "red"}]}, 422, "assistant"),
    (CHAT, shown("file:///etc/passwd"), 422, "file:///etc/passwd"),
    (CHAT, shown("http://127.0.0.1:8000/health"), 422, "http://"),
    (CHAT, shown("data:text/html;base64,AAAA"), 422, "data:text"),
    (CHAT, shown("data:image/png;base64,A?"), 422, "base64"),
    (CHAT, shown("data:image/png;base64,AAAA"), 422, "not an image"),
    (CHAT, shown(data_url(Image.new("1", (5000, 5000)))), 422, "5000 x 5000"),
    (CHAT, said([{"type": "image_url", "image_url": {"url": data_url(Image.new("1", (4, 4)))}}] * 5), 422, "5"),
    (CHAT, said("x" * 100_000), 413, ""),
]


@pytest.mark.parametrize(("path", "body", "status", "named"), REFUSED)
def test_what_is_impossible_is_refused_by_name(client, path, body, status, named):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = client.post(path, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == status, response.text
    error = response.json()["error"] if status != 413 else {"message": "", "type": "invalid_request_error"}
    assert named in error["message"] and error["type"] == "invalid_request_error"


def test_other_places_methods_types_and_hosts_are_refused(client):
    assert client.get("/etc/passwd").status_code == client.get("/..%2f..%2fetc/passwd").status_code == 404
    assert client.get(DRAW).status_code == 405
    assert client.post(DRAW, content=b'{"prompt": "a ring"}', headers={"Content-Type": "text/plain"}).status_code == 422
    assert client.get("/health", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/v1/models/other").status_code == 404
    assert client.get("/v1/models").json()["data"] == [client.get("/v1/models/tiny").json()]
    assert client.get("/health").json() == {"status": "ok", "model": "tiny", "waiting": 0}
    schema = client.get("/openapi.json").json()["components"]["schemas"]["ImageRequest"]["properties"]
    assert schema["steps"]["description"] == "solver steps (default: 30) (1 .. 100)"


def test_more_than_the_queue_holds_are_told_to_come_again(bundle):
    app = build_app(bundle, "tiny", ServeConfig(queue=2, batch_size=1))

    async def ask():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE) as client:
            return await asyncio.gather(*(client.post(DRAW, json={"prompt": "a ring"}) for _ in range(8)))

    responses = asyncio.run(ask())
    refused = [response for response in responses if response.status_code == 429]
    assert refused and refused[0].headers["Retry-After"] == "1"
    assert sorted({response.status_code for response in responses}) == [200, 429]


def test_who_waits_too_long_is_told_so_and_the_work_is_dropped(bundle):
    app = build_app(bundle, "tiny", ServeConfig(timeout=0.05))
    with TestClient(app, base_url=HERE) as client:
        assert client.post(DRAW, json={"prompt": "a ring", "steps": 100, "n": 8}).status_code == 504
        assert "took too long" in client.post(CHAT, json=said("what?", stream=True, max_tokens=150)).text
    metrics = app.state.service.metrics  # the client's end was the server's, which waited for its passes
    assert metrics.images._value.get() == 0 and metrics.tokens._value.get() < 150


def call(app, body, rest):
    """The status of a drawing, as servers call an application: ``body``, then what ``rest`` waits for."""
    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": DRAW, "query_string": b"", "headers": headers}
    messages, answers = [body], []

    async def receive():
        return messages.pop() if messages else await rest()

    async def send(message):
        answers.append(message)

    asyncio.run(app(scope, receive, send))
    app.state.service.batcher.close()
    return answers[0]["status"]


def test_who_leaves_is_not_worked_for(bundle):
    app = build_app(bundle, "tiny", ServeConfig())
    service = app.state.service

    async def leave():
        while service.batcher.waiting:
            await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    body = json.dumps({"prompt": "a ring", "steps": 100, "n": 8}).encode()
    assert call(app, {"type": "http.request", "body": body}, leave) == 499
    assert service.metrics.images._value.get() == 0


def test_who_sends_too_slowly_is_not_waited_for(bundle):
    app = build_app(bundle, "tiny", ServeConfig(timeout=0.05))
    assert call(app, {"type": "http.request", "body": b"{", "more_body": True}, asyncio.Event().wait) == 408
