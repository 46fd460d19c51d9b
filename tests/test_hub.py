"""The hub, which no test reaches: what is said where it does not answer, through the commands that ask it, and what it
is given."""

import base64
import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest

from eval.__main__ import main as evaluate
from janusflow.cli import main
from janusflow.data.readers.files import expand
from janusflow.hub import download
from janusflow.pipeline import Pipeline

NAME, COMMIT = "somebody/model", "0123456789" * 4
COMMANDS = [
    (main, ["generate", "a ring", "--model", "somebody/model"]),
    (main, ["generate", "a ring", "--model", "somebody/model", "--revision", COMMIT]),
    (main, ["generate", "a ring", "--vae", "somebody/vae"]),
    (main, ["convert", "somebody/model", "out"]),
    (main, ["encode-latents", ".", "--vae", "somebody/vae"]),
    (evaluate, ["run", "pope", "--data", "somebody/data"]),
    (evaluate, ["run", "clip-score", "--prompts", "p.txt", "--clip", "somebody/clip"]),
]


@pytest.fixture
def online(monkeypatch, tmp_path):
    """The hub, as if no environment variable forbade it, at an address that is yet to be given."""
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.txt").write_text("a ring\n")
    return lambda address: monkeypatch.setattr(constants, "ENDPOINT", address)


def error_of(capsys, run, arguments):
    assert run(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines  # nothing is tried again
    return lines[0]


@pytest.fixture
def nobody():
    """An address that refuses connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@contextmanager
def serving(handler):
    """A hub that answers by ``handler``, at an address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@pytest.mark.parametrize(("run", "arguments"), COMMANDS)
def test_a_missing_connection_is_named_at_once(online, nobody, capsys, run, arguments):
    online(nobody)
    line = error_of(capsys, run, arguments)
    assert "error: somebody/" in line and f"no connection to {nobody} (" in line


@pytest.mark.parametrize(("run", "arguments"), COMMANDS)
def test_an_offline_hub_is_named(tmp_path, monkeypatch, online, capsys, run, arguments):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in error_of(capsys, run, arguments)


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [(404, "RepoNotFound", "none of that name"), (404, "RevisionNotFound", "no such revision"),
     (403, "GatedRepo", "gated"), (503, "", "503")],
)  # fmt: skip
def test_the_hubs_own_answers_are_told(online, capsys, status, code, reason):
    asked = []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with serving(Hub) as address:
        online(address)
        with pytest.raises(ValueError, match=reason):
            download("somebody/model", revision=COMMIT)
    assert len(asked) == 1


def test_what_the_cache_holds_is_used_without_a_connection(online, nobody, tmp_path):
    snapshot = tmp_path / "cache" / "models--somebody--model" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(COMMIT)
    online(nobody)
    assert download("somebody/model", ["config.json"]) == snapshot


def test_a_shard_that_no_connection_gives_is_no_missing_file(nobody, tmp_path):
    with pytest.raises(ValueError, match="Cannot connect"):
        expand(f"{nobody}/a.tar", tmp_path)


@pytest.fixture
def taken():
    """Files that a hub was given, by name, under its address; it takes them from who has the token ``right``."""
    files = {}

    class Hub(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            place = self.path.partition("?")[0].removeprefix("/api/")
            right = self.headers["Authorization"] == "Bearer right"
            said = json.dumps(self.answer(place, body) if right else {"error": "who are you?"}).encode()
            self.send_response(200 if right else 401)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def answer(self, place, body):
            if place == "repos/create":
                return {"url": f"http://{self.headers['Host']}/{NAME}"}
            if place.startswith(f"models/{NAME}/preupload/"):
                names = [file["path"] for file in json.loads(body)["files"]]
                return {"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]}
            if place.startswith(f"models/{NAME}/commit/"):
                lines = [json.loads(line) for line in body.splitlines()]
                found = [line["value"] for line in lines if line["key"] == "file"]
                files.update({one["path"]: base64.b64decode(one["content"]) for one in found})
                return {
                    "commitUrl": f"http://{self.headers['Host']}/{NAME}/commit/{COMMIT}",
                    "commitOid": COMMIT,
                    "success": True,
                }
            return {}  # validate-yaml: no objections

        def log_message(self, *_):
            pass

    with serving(Hub) as address:
        files["address"] = address
        yield files


def test_what_is_pushed_is_a_model_with_its_card(online, taken, flow_bundle, tmp_path, monkeypatch, capsys):
    online(taken.pop("address"))
    pipeline = Pipeline(**vars(flow_bundle))
    pipeline.save_pretrained(tmp_path / "mine")
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert "hf auth login" in error_of(capsys, main, ["push", str(tmp_path / "mine"), NAME])
    assert not taken
    monkeypatch.setenv("HF_TOKEN", "right")
    assert main(["push", str(tmp_path / "mine"), NAME, "--private"]) == 0
    assert capsys.readouterr().out.strip().endswith(f"/{NAME}/commit/{COMMIT}")
    for name, content in taken.items():
        (tmp_path / "there" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "there" / name).write_bytes(content)
    again = Pipeline.from_pretrained(tmp_path / "there")
    assert again.digest == Pipeline.from_pretrained(tmp_path / "mine").digest and again.codec is not None
    assert f'load_pretrained("{NAME}")' in taken["README.md"].decode()
