"""``encode-latents``: killed, it loses the batch at hand; processes share the batches; the result is the same bytes."""

import json
import multiprocessing
import os
import shutil
import signal
import time

import numpy as np
import pytest
import torch
from PIL import Image

from janusflow import cli
from janusflow.checkpoints.codecs import load_codec
from janusflow.checkpoints.pretrained import ASSETS
from janusflow.codecs.vae import LatentCodec
from janusflow.data.config import SourceConfig
from janusflow.data.encode import encode_source

VAE = ASSETS / "shapes" / "vae"
COUNT, SIZE, BATCH = 60, 96, 2
PAUSE = 0.05  # seconds before each batch, in which the test can see what there is and send its signal


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As in the processes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    """A folder of pictures, the fifth of which is damaged, and its latents, encoded in one go."""
    folder = tmp_path_factory.mktemp("encoded") / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)).save(folder / f"{number}.png")
    (folder / "5.png").write_bytes(b"no image")
    lines = [json.dumps({"file": f"{number}.png", "captions": ["noise"]}) for number in range(COUNT)]
    (folder / "captions.jsonl").write_text("\n".join(lines))
    encode_source(SourceConfig("folder", str(folder)), load_codec(str(VAE)), SIZE, BATCH)
    return folder


def latents(folder):
    """The bytes of a folder's latents."""
    return (folder / "latents" / "00000.safetensors").read_bytes()


def command(folder):
    """What a process of its own runs; forked, it need not load the libraries again."""
    torch.set_num_threads(1)  # a fork has none of the parent's threads
    encode = LatentCodec.encode
    LatentCodec.encode = lambda codec, pixels: time.sleep(PAUSE) or encode(codec, pixels)
    options = ["--vae", str(VAE), "--size", str(SIZE), "--batch-size", str(BATCH), "--device", "cpu"]
    raise SystemExit(cli.main(["encode-latents", str(folder), *options]))


def start(folder):
    """The command as a process of its own."""
    process = multiprocessing.get_context("fork").Process(target=command, args=(folder,))
    process.start()
    return process


def batches(folder):
    """The batches that are stored so far."""
    return list((folder / "latents" / "00000.batches").glob("*.safetensors"))


def wait_for(folder, count):
    """Wait until ``count`` batches are stored."""
    end = time.monotonic() + 60
    while len(batches(folder)) < count:
        assert time.monotonic() < end, f"only {len(batches(folder))} batches in a minute"
        time.sleep(0.002)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_interrupted_by_a_signal_it_goes_on_with_the_batch_at_hand(encoded, tmp_path, number, code, monkeypatch):
    folder = shutil.copytree(encoded, tmp_path / "photos", ignore=shutil.ignore_patterns("latents"))
    process = start(folder)
    wait_for(folder, 4)
    os.kill(process.pid, number)
    process.join(30)
    assert process.exitcode == code
    stored = len(batches(folder))
    assert 4 <= stored < COUNT // BATCH

    codec = load_codec(str(VAE))
    shapes = []
    encode = codec.encode
    monkeypatch.setattr(codec, "encode", lambda pixels: shapes.append(len(pixels)) or encode(pixels))
    done = []
    encode_source(SourceConfig("folder", str(folder)), codec, SIZE, BATCH, lambda now, total: done.append((now, total)))
    assert len(shapes) == COUNT // BATCH - stored, "what is stored is not encoded again"
    assert done[-1] == (COUNT, COUNT)
    assert latents(folder) == latents(encoded)
    assert [path.name for path in (folder / "latents").iterdir()] == ["00000.safetensors"]


def test_two_processes_share_a_folder_and_one_survives_the_other(encoded, tmp_path):
    folder = shutil.copytree(encoded, tmp_path / "photos", ignore=shutil.ignore_patterns("latents"))
    processes = [start(folder), start(folder)]
    wait_for(folder, 10)
    processes[0].kill()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [-signal.SIGKILL, 0]
    if not (folder / "latents" / "00000.safetensors").exists():  # the killed one had taken a batch
        assert len(batches(folder)) == COUNT // BATCH - 1
        encode_source(SourceConfig("folder", str(folder)), load_codec(str(VAE)), SIZE, BATCH)
    assert latents(folder) == latents(encoded)
