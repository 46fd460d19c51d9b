"""``janusflow serve`` as a process: its port, and its end."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from janusflow.checkpoints.pretrained import save_pretrained
from janusflow.cli import main
from tests.conftest import ROOT


def test_what_is_missing_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve"]) == 2
    assert capsys.readouterr().err == "error: this needs uvicorn: pip install 'janusflow[serve]'\n"


def test_a_port_that_cannot_be_had_is_named(capsys):
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, named in (
            (["--port", port], port),
            (["--port", "70000"], "70000"),
            (["--queue", "0"], "--queue"),
            (["--host", "no.such.host.invalid"], "no.such.host.invalid"),
        ):
            assert main(["serve", *arguments]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            assert line.startswith("error: ") and named in line


def read(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        return response.read().decode()


@pytest.mark.slow
def test_sigterm_ends_it_when_what_is_here_is_finished(bundle, tmp_path):
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    save_pretrained(bundle, tmp_path / "tiny")
    command = [sys.executable, "-m", "janusflow.cli", "serve", "--model", str(tmp_path / "tiny"), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            name, _, url = server.stdout.readline().split()
            assert name == "tiny" and url.startswith("http://127.0.0.1:")
            drawn = []
            asked = {"prompt": "a ring", "n": 8, "steps": 100, "guidance": 3}
            draw = threading.Thread(target=lambda: drawn.append(read(f"{url}/v1/images/generations", asked)))
            draw.start()
            while 'batch_size_count{kind="images"} 1.0' not in read(f"{url}/metrics"):
                time.sleep(0.01)
            server.send_signal(signal.SIGTERM)
            draw.join(120)
            assert len(json.loads(drawn[0])["data"]) == 8
            assert server.wait(60) == 0
            assert server.stderr.read() == ""
        finally:
            server.kill()
