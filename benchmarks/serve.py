"""The server under load: requests lost, latencies, pictures a second against one by one, memory.

``python benchmarks/serve.py`` starts ``janusflow serve`` as a process and asks it as many clients would: first one
picture after the other, then ``--clients`` at once, then a burst that its queue cannot hold, then requests that are
wrong, then pictures until memory must show whether it grows. Needs the extra ``serve``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch
from timing import store

DRAW, CHAT = "/v1/images/generations", "/v1/chat/completions"
COLORS, SHAPES = ("red", "green", "blue", "yellow", "purple"), ("circle", "square", "star", "ring", "triangle")
WRONG: tuple[tuple[str, bytes], ...] = (
    (DRAW, b"{"),
    (DRAW, b"[" * 100_000),
    (DRAW, b'{"prompt": ""}'),
    (DRAW, b'{"prompt": "a ring", "n": 1000}'),
    (DRAW, b'{"prompt": "a ring", "size": "4096x4096"}'),
    (DRAW, b'{"prompt": "a ring", "sampler": "os:system"}'),
    (DRAW, b'{"prompt": "a ring", "worse": "/etc"}'),
    (DRAW, b'{"prompt": "' + b"x" * 20_000_000 + b'"}'),
    (CHAT, b'{"messages": []}'),
    (
        CHAT,
        b'{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": '
        b'{"url": "file:///etc/passwd"}}]}]}',
    ),
    ("/../../etc/passwd", b"{}"),
)


class Reply(NamedTuple):
    """What a client got: status, seconds, body."""

    status: int
    seconds: float
    body: bytes


class Server:
    """The process."""

    def __init__(self, model: str, more: Sequence[str]) -> None:
        began = time.perf_counter()
        command = [sys.executable, "-m", "janusflow.cli", "serve", "--model", model, "--port", "0", *more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().split()[-1]
        while self.send("/health").status != 200:
            time.sleep(0.05)
        self.start_seconds = time.perf_counter() - began

    def send(self, path: str, body: bytes | None = None) -> Reply:
        """One request; status 0 where it was lost."""
        began = time.perf_counter()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=600) as response:
                status, content = response.status, response.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        except OSError:
            status, content = 0, b""
        return Reply(status, time.perf_counter() - began, content)

    def draw(self, number: int, steps: int) -> Reply:
        """The picture of that number."""
        color, shape = COLORS[number % 5], SHAPES[number // 5 % 5]
        asked = {"prompt": f"a {color} {shape}", "seed": number, **({"steps": steps} if steps else {})}
        return self.send(DRAW, json.dumps(asked).encode())

    def memory(self) -> int:
        """Resident bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def metrics(self) -> dict[str, float]:
        """What it counts."""
        lines = self.send("/metrics").body.decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def load(server: Server, numbers: Sequence[int], clients: int, steps: int) -> dict[str, Any]:
    """Pictures of these numbers, that many at once: statuses, latencies, pictures a second, jobs of a pass."""
    before, began = server.metrics(), time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        replies = list(pool.map(lambda number: server.draw(number, steps), numbers))
    seconds, after = time.perf_counter() - began, server.metrics()
    taken = sorted(reply.seconds for reply in replies if reply.status == 200)
    quantiles = statistics.quantiles(taken, n=100, method="inclusive")
    passes = [count.get('janusflow_batch_size_count{kind="images"}', 0.0) for count in (before, after)]
    return {
        "requests": len(numbers),
        "at_once": clients,
        "statuses": dict(Counter(str(reply.status) for reply in replies)),
        "seconds": round(seconds, 2),
        "images_per_second": round(len(taken) / seconds, 2),
        "latency": {f"p{p}": round(quantiles[p - 1], 3) for p in (50, 90, 99)} | {"most": round(taken[-1], 3)},
        "images_per_pass": round(len(taken) / (passes[1] - passes[0]), 2),
    }


def growth(server: Server, images: int, clients: int, steps: int) -> dict[str, Any]:
    """Resident memory while that many pictures are drawn, at ten places, in MiB."""
    found = []
    for part in range(10):
        numbers = range(part * images // 10, (part + 1) * images // 10)
        load(server, numbers, clients, steps)
        found.append(round(server.memory() / 2**20, 1))
    return {"images": images, "mib": found, "growth_mib_behind_the_first_tenth": round(found[-1] - found[0], 1)}


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="shapes-flow", help="model folder, or the name of a shipped model")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=16, help="at once")
    parser.add_argument("--alone", type=int, default=20, help="pictures that are drawn one by one")
    parser.add_argument("--images", type=int, default=500, help="pictures over which memory is watched")
    parser.add_argument("--steps", type=int, default=0, help="solver steps (default: the model's own)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and store the figures if asked to."""
    args = parse(argv)
    server = Server(args.model, [])
    try:
        server.draw(0, args.steps)  # to warm up
        figures: dict[str, Any] = {"model": args.model, "steps": args.steps or "the model's own"}
        figures["seconds_to_the_first_answer"] = round(server.start_seconds, 1)
        figures["one_by_one"] = load(server, range(args.alone), 1, args.steps)
        figures["together"] = load(server, range(args.requests), args.clients, args.steps)
        figures["speed_over_one_by_one"] = round(
            figures["together"]["images_per_second"] / figures["one_by_one"]["images_per_second"], 2
        )
        figures["burst"] = load(server, range(128), 128, args.steps)
        figures["wrong"] = {f"{path} {body[:60].decode()}": server.send(path, body).status for path, body in WRONG}
        print(json.dumps(figures, indent=2), flush=True)
        figures["memory"] = growth(server, args.images, args.clients, args.steps)
    finally:
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(60)
    figures |= {
        "exit_code": code,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "torch": torch.__version__,
    }
    print(json.dumps(figures["memory"], indent=2))
    store(figures, args.out)
    lost = sum(figures[part]["statuses"].get("0", 0) for part in ("one_by_one", "together", "burst"))
    return 1 if lost or code else 0


if __name__ == "__main__":
    raise SystemExit(main())
