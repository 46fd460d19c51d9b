"""The hub, which no test reaches: what is said where it does not answer, through the commands that ask it."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest

from eval.__main__ import main as evaluate
from janusflow.cli import main
from janusflow.data.readers.files import expand
from janusflow.hub import download

COMMIT = "0123456789" * 4
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

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        online(f"http://127.0.0.1:{server.server_port}")
        try:
            with pytest.raises(ValueError, match=reason):
                download("somebody/model", revision=COMMIT)
        finally:
            server.shutdown()
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
