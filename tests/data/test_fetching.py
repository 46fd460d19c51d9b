"""Files by path, glob, range and URL: several at once, going on where it broke off, servers without ranges."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from janusflow.data.readers import files
from janusflow.data.readers.files import expand

PIECE = 1 << 16
CONTENT = np.random.default_rng(0).bytes(5 * PIECE + 7)
NAMES = [f"{number}.tar" for number in range(3)]


class Ranges(BaseHTTPRequestHandler):
    """Gives ``CONTENT``, or parts of it, under any name. The class holds what a test wants of it."""

    served: list[tuple[str, int]] = []  # file and first byte
    fails_from: int | None = None  # first byte that 1.tar lacks
    together = threading.Barrier(len(NAMES))  # of the requests for a file's first byte

    def do_HEAD(self):
        self.answer(200, len(CONTENT))

    def do_GET(self):
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        if first == 0:
            self.together.wait(20)  # breaks, and so fails the test, where files come one after the other
        if self.fails_from is not None and self.path == "/1.tar" and first >= self.fails_from:
            self.send_error(503)
            return
        self.served.append((self.path, first))
        part = CONTENT[first : last + 1]
        self.answer(206, len(part))
        self.wfile.write(part)

    def answer(self, status, length):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *words):
        pass


class Whole(SimpleHTTPRequestHandler):
    """Python's own server, which knows no ranges."""

    def log_message(self, *words):
        pass


@pytest.fixture
def serve(monkeypatch):
    """Starts a server of a handler and gives its address."""
    monkeypatch.setattr(files, "PIECE", PIECE)
    servers = []

    def start(handler):
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_paths_globs_ranges_and_urls(tmp_path):
    for name in ("s-08.tar", "s-09.tar", "s-10.tar"):
        (tmp_path / name).touch()
    names = [path.name for path in expand(f"{tmp_path}/s-{{08..10}}.tar")]
    assert names == ["s-08.tar", "s-09.tar", "s-10.tar"]
    assert [path.name for path in expand(f"{tmp_path}/s-0*.tar")] == ["s-08.tar", "s-09.tar"]
    with pytest.raises(ValueError, match=r"s-11\.tar"):
        expand(f"{tmp_path}/s-{{10..11}}.tar")
    with pytest.raises(ValueError, match="is empty"):
        expand(f"{tmp_path}/s-{{3..1}}.tar")
    with pytest.raises(ValueError, match="cannot fetch"):
        expand(f"file://{tmp_path}/gone.tar", tmp_path / "cache")


def test_one_process_fetches_and_others_wait(tmp_path):
    (tmp_path / "far.txt").write_text("content" * 100_000)
    url, cache = f"file://{tmp_path}/far.txt", tmp_path / "cache"
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: expand(url, cache)[0], range(4)))
    assert {path.parent for path in found} == {cache}
    assert [path.read_text() for path in found] == ["content" * 100_000] * 4


def test_several_at_once_and_on_from_where_it_broke_off(serve, tmp_path, monkeypatch):
    pattern = f"{serve(Ranges)}/{{0..2}}.tar"
    monkeypatch.setattr(Ranges, "fails_from", 3 * PIECE)
    with pytest.raises(ValueError, match=r"cannot fetch .*/1\.tar"):
        expand(pattern, tmp_path)
    assert not list(tmp_path.glob("*_1.tar"))

    monkeypatch.setattr(Ranges, "fails_from", None)
    monkeypatch.setattr(Ranges, "together", threading.Barrier(1))
    Ranges.served.clear()
    assert [path.read_bytes() == CONTENT for path in expand(pattern, tmp_path)] == [True] * 3
    assert min(first for name, first in Ranges.served if name == "/1.tar") == 3 * PIECE
    assert not list(tmp_path.glob("*.part"))

    Ranges.served.clear()
    expand(pattern, tmp_path)
    assert not Ranges.served, "what is there is not asked for again"


def test_servers_without_ranges(serve, tmp_path):
    (tmp_path / "0.tar").write_bytes(CONTENT)
    address = serve(partial(Whole, directory=str(tmp_path)))
    (copy,) = expand(f"{address}/0.tar", tmp_path / "cache")
    assert copy.read_bytes() == CONTENT
    with pytest.raises(ValueError, match=r"cannot fetch .*gone\.tar"):
        expand(f"{address}/gone.tar", tmp_path / "cache")


def test_a_copy_that_is_too_short_is_refused(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(Ranges, "together", threading.Barrier(1))
    address = serve(Ranges)
    monkeypatch.setattr(Ranges, "do_HEAD", lambda self: self.answer(200, len(CONTENT) + PIECE))
    with pytest.raises(ValueError, match="bytes that it should have"):
        expand(f"{address}/0.tar", tmp_path)
    assert not list(tmp_path.glob("*.tar"))
