# ruff: noqa: E402
"""The page: what it offers, what it gives away, and somebody who uses it in a real browser."""

import dataclasses
import socket
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

gr = pytest.importorskip("gradio", reason="the extra demo is not installed")
from starlette.testclient import TestClient

from janusflow.checkpoints.pretrained import Bundle, load_pretrained, save_pretrained
from janusflow.cli import main
from janusflow.codecs.vae import LatentCodec
from janusflow.data.template import ChatConfig
from janusflow.demo.command import build_app
from janusflow.demo.config import DemoConfig
from janusflow.demo.controls import Controls
from janusflow.demo.models import Shown
from janusflow.inference.images import generate_images
from janusflow.options import CodeSampling, FlowSampling, SamplingOptions, option
from janusflow.pictures import save_png
from janusflow.weights import ASSETS


@dataclasses.dataclass(frozen=True)
class Foreign(SamplingOptions):
    """Of a head from elsewhere, which says little of them."""

    guidance: float = option(1.0, "unused")
    loud: bool = option(False, "louder")
    file: str = option("x", "a path")


@pytest.mark.parametrize(
    "usual",
    [
        FlowSampling(guidance=4.0, guidance_interval=(0.1, 1.0), image_guidance=1.5),
        CodeSampling(top_k=9),
        CodeSampling(),
        Foreign(),
    ],
)
def test_every_option_that_may_be_set_has_a_control_with_its_default(usual):
    with gr.Blocks(analytics_enabled=False):
        controls = Controls(usual)
    values = [part.value for part in controls.parts]
    assert dataclasses.replace(usual, **controls.read(values)) == usual
    assert set(usual.names()) - controls.sizes.keys() <= {"worse", "file", "image_guidance"}, "of files and edits"
    assert ("image_guidance" in controls.sizes) == (getattr(usual, "image_guidance", None) is not None)
    given = {field.name: getattr(usual, field.name) for field in dataclasses.fields(usual)}
    assert controls.show(given) == values
    for part in controls.parts:
        if isinstance(part, gr.Slider):
            assert part.minimum <= part.value <= part.maximum


@pytest.fixture
def page(tiny_model, tokenizer, janus_bundle, tmp_path):
    """The page of a tiny flow, which a tiny Janus is compared with."""
    codec = LatentCodec.from_pretrained(ASSETS / "shapes" / "vae")
    save_pretrained(Bundle(tiny_model, codec, tokenizer, ChatConfig()), tmp_path / "tiny-flow")
    save_pretrained(janus_bundle, tmp_path / "tiny-codes")
    flow, codes = (Shown(str(tmp_path / name), load_pretrained) for name in ("tiny-flow", "tiny-codes"))
    return flow, build_app(flow, codes, DemoConfig(queue=3))


def test_nothing_of_the_machine_is_given_away(page, tmp_path):
    shown, app = page
    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.get("/").status_code == 200
        for path in ("/etc/passwd", tmp_path / "tiny-flow/config.json", Path(__file__), "../../etc/passwd"):
            assert client.get(f"/gradio_api/file={path}").status_code in (403, 404), path
        assert client.get("/gradio_api/file=http://127.0.0.1:1/x").status_code in (403, 404)
        assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
        assert str(tmp_path) not in client.get("/config").text and "bundle" not in shown.__dict__, "not loaded yet"


@pytest.mark.parametrize(("sampling", "edits"), [({}, False), ({"image_guidance": 1.5}, True)])
def test_models_that_learnt_to_edit_have_a_tab_for_it(tiny_model, tokenizer, tmp_path, sampling, edits):
    codec = LatentCodec.from_pretrained(ASSETS / "shapes" / "vae")
    save_pretrained(Bundle(tiny_model, codec, tokenizer, ChatConfig(), sampling=sampling), tmp_path / "tiny-flow")
    app = build_app(Shown(str(tmp_path / "tiny-flow"), load_pretrained), None, DemoConfig())
    with TestClient(app, base_url="http://127.0.0.1") as client:
        tabs = [part["props"].get("label") for part in client.get("/config").json()["components"]]
    assert ("Edit" in tabs) == edits


def test_what_is_missing_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["demo", "--port", "0"]) == 2
    assert capsys.readouterr().err == "error: this needs gradio: pip install 'janusflow[demo]'\n"


@pytest.fixture
def visitor(page):
    """A browser on the page."""
    pytest.importorskip("selenium", reason="selenium is not installed")
    uvicorn = pytest.importorskip("uvicorn")
    from tests.demo.visitor import CHROMIUM, DRIVER, Visitor

    if CHROMIUM is None or DRIVER is None:
        pytest.skip("there is no chromium with its driver")
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(page[1], log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=[[listener]])
    thread.start()
    visitor = Visitor(f"http://127.0.0.1:{listener.getsockname()[1]}")
    yield visitor
    visitor.close()
    server.should_exit = True
    thread.join()


@pytest.mark.slow
def test_somebody_draws_watches_compares_and_asks(visitor, page, tmp_path):
    bundle = page[0].bundle
    visitor.write("#prompt textarea", "a red circle")
    visitor.set("steps", 2)
    visitor.find("#draw").click()
    drawn = visitor.picture("#drawn")
    (expected,) = generate_images(bundle, ["a red circle"], [0], FlowSampling(2))
    assert drawn.tobytes() == expected.tobytes() and len(visitor.sources("#drawn")) == 4
    assert (drawn.text["prompt"], drawn.text["steps"], drawn.text["seed"]) == ("a red circle", "2", "0")

    settings = {**drawn.text, "steps": "3", "prompt": "two rings", "sampler": "heun", "guidance_interval": "(0.2, 0.8)"}
    file = tmp_path / "other.png"
    save_png(drawn, file, settings)
    visitor.send_file("#settings", file)
    visitor.wait(lambda: visitor.value("#prompt textarea") == "two rings", "the dropped file's prompt")
    visitor.wait(lambda: visitor.value("#steps-0 input[type=number]") == "3", "its steps")
    assert visitor.value("#guidance_interval-1 input[type=number]") == "0.8"
    assert visitor.value("#sampler-0 input") == "heun"

    save_png(drawn, tmp_path / "hostile.png", {**settings, "prompt": "hostile", "sampler": "os:system"})
    visitor.find("#settings button[aria-label='Remove this file'], #settings button[aria-label='Clear']").click()
    visitor.send_file("#settings", tmp_path / "hostile.png")
    visitor.wait(lambda: "os:system" in visitor.text(".toast-body"), "a refusal")
    assert visitor.value("#prompt textarea") == "two rings"

    visitor.tab("Watch")
    visitor.write("#watched textarea", "a blue star")
    visitor.find("#watch").click()
    assert visitor.picture("#strip").width > 3 * 16 and visitor.picture("#moving").n_frames == 3
    assert visitor.text("#when") == "t = 0.67"
    visitor.write("#moment input[type=number]", "1")
    visitor.wait(lambda: visitor.text("#when") == "t = 0.00", "the first moment")

    visitor.tab("Compare")
    visitor.write("#prompts textarea", "a ring")
    visitor.find("#compare").click()
    visitor.picture("#side1")
    visitor.wait(lambda: "tiny-codes" in visitor.text("#table"), "the table")
    assert "tiny-flow" in visitor.text("#table") and "3 heun steps" in visitor.text("#table")

    visitor.tab("Ask")
    for name in ("a.png", "b.png"):
        Image.new("RGB", (16, 16), "red").save(tmp_path / name)
    visitor.send_file("#shown", tmp_path / "a.png", tmp_path / "b.png")
    visitor.wait(lambda: len(visitor.sources("#shown")) >= 2, "both pictures")
    visitor.write("#question textarea", "what?")
    visitor.find("#question button").click()
    said = [visitor.wait(lambda: visitor.text("#talk .bot").strip() or None, "an answer")]
    assert said and visitor.asked() == {visitor.url.removeprefix("http://")}, "nobody else is asked for anything"
    time.sleep(0.5)
    assert not visitor.errors()
