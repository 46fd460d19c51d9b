"""``encode-latents``: killed, it loses the batch at hand; processes share the batches; the result is the same bytes."""

import json
import multiprocessing
import os
import shutil
import signal
import time

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet
from safetensors.torch import load_file

from janusflow import cli
from janusflow.checkpoints.codecs import load_codec
from janusflow.codecs.vae import LatentCodec
from janusflow.data.config import DataConfig, source_config
from janusflow.data.encode import encode_source
from janusflow.data.sources import MixedSource, open_reader
from janusflow.weights import ASSETS
from tests.data.conftest import picture, write_shard

VAE = ASSETS / "shapes" / "vae"
COUNT, SIZE, BATCH = 40, 48, 2
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
    encode_source(source_config("folder", path=str(folder)), load_codec(str(VAE)), SIZE, BATCH)
    return folder


def latents(folder):
    """The bytes of a folder's latents."""
    return (folder / "latents" / "00000.safetensors").read_bytes()


def command(folder):
    """What a process of its own runs; forked, it need not load the libraries again."""
    torch.set_num_threads(1)  # a fork has none of the parent's threads
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which tests in the background may ignore
    encode = LatentCodec.encode
    LatentCodec.encode = lambda codec, pixels: time.sleep(PAUSE) or encode(codec, pixels)
    options = ["--vae", str(VAE), "--size", str(SIZE), "--batch-size", str(BATCH), "--device", "cpu"]
    raise SystemExit(cli.main(["encode-latents", str(folder), *options]))


def start(folder):
    """The command as a process of its own."""
    process = multiprocessing.get_context("fork").Process(target=command, args=(folder,), daemon=True)
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
    encode_source(
        source_config("folder", path=str(folder)), codec, SIZE, BATCH, lambda now, total: done.append((now, total))
    )
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
        encode_source(source_config("folder", path=str(folder)), load_codec(str(VAE)), SIZE, BATCH)
    assert latents(folder) == latents(encoded)


# What is stored, and what a run takes of it


def encode(path):
    return cli.main(["encode-latents", str(path), "--vae", str(VAE), "--size", "48", "--device", "cpu"])


def test_stored_latents_of_shards(shard, capsys, monkeypatch):
    """By two processes, beside the shards; what is there stays; an unreadable image has none."""
    second = write_shard(shard.with_name("00001.tar"), {"x.png": picture("red"), "x.txt": b"x", "y.png": b"no image"})
    pattern = str(shard.with_name("{00000..00001}.tar"))
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert encode(pattern) == 0
    assert "left out" in capsys.readouterr().err
    reader = open_reader(source_config("webdataset", path=pattern, cached_latents=True))
    rng = np.random.default_rng(0)
    assert all(reader.generation(item, rng).latent.shape == (4, 12, 12) for item in (0, 1, 3))
    with pytest.raises(ValueError, match=r"holds no latent of 00001\.tar/y"):
        reader.generation(4, rng)
    before = second.with_suffix(".latents.safetensors").stat().st_mtime_ns
    assert encode(pattern) == 0
    assert second.with_suffix(".latents.safetensors").stat().st_mtime_ns == before


def test_shards_of_one_name_cannot_share_latents(tmp_path):
    for colour in ("red", "blue"):
        (tmp_path / colour).mkdir()
        write_shard(tmp_path / colour / "0.tar", {"0.png": picture(colour), "0.txt": colour.encode()})
    assert encode(f"{tmp_path}/*/0.tar") == 0
    with pytest.raises(ValueError, match=r"both hold 0\.tar/0"):
        open_reader(source_config("webdataset", path=f"{tmp_path}/*/0.tar", cached_latents=True))


def test_stored_latents_of_parquet_files(tmp_path):
    table = pa.table({"image": [picture(colour) for colour in ("red", "blue")], "text": ["red", "blue"]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert encode(tmp_path / "a.parquet") == 0
    stored = source_config("parquet", path=str(tmp_path / "a.parquet"), cached_latents=True)
    assert MixedSource(DataConfig(sources={"p": stored}), 0).generation(0, 0.0).latent.shape == (4, 12, 12)


def test_only_captioned_images_have_latents(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(ValueError, match="latents are stored for images with captions, which text sources are not"):
        encode_source(source_config("text", path=str(tmp_path / "a.txt")), load_codec(str(VAE)), SIZE)
    assert cli.main(["encode-latents", str(tmp_path), "--vae", str(VAE), "--image-column", "a"]) == 2
    assert "Key 'image_column' not in" in capsys.readouterr().err


def test_latents_of_another_size_or_vae_are_refused(folder):
    codec, config = LatentCodec.from_pretrained(VAE), source_config("folder", path=str(folder))
    stored = DataConfig(sources={"photos": source_config("folder", path=str(folder), cached_latents=True)})
    with pytest.raises(ValueError, match="encode-latents"):
        MixedSource(stored, 0)
    encode_source(config, codec, 48)
    MixedSource(stored, 0).check_latents(codec, 48)
    with pytest.raises(ValueError, match=f"latents of 48 pixels by the image codec {codec.digest}, .* needs 32 pixels"):
        MixedSource(stored, 0).check_latents(codec, 32)
    with torch.no_grad():
        next(codec.module.parameters()).add_(1)
    other = LatentCodec(codec.module)
    with pytest.raises(ValueError, match=f"needs 48 pixels and {other.digest}: encode them again"):
        MixedSource(stored, 0).check_latents(other, 48)


def test_damaged_latents_are_made_again_and_follow_a_folder_that_grows(folder):
    codec, config = LatentCodec.from_pretrained(VAE), source_config("folder", path=str(folder))
    encode_source(config, codec, 48)
    stored = folder / "latents" / "00000.safetensors"
    whole = {name: latent.clone() for name, latent in load_file(stored).items()}  # not views of the file
    stored.write_bytes(stored.read_bytes()[:-10])
    encode_source(config, codec, 48)
    again = load_file(stored)
    assert again.keys() == whole.keys() == {"0.png", "1.png", "2.png"}
    assert all(torch.equal(again[name], whole[name]) for name in whole)
    Image.new("RGB", (60, 60), "red").save(folder / "new.png")
    with (folder / "captions.jsonl").open("a") as file:
        file.write('\n{"file": "new.png", "captions": "one caption"}\n')
    encode_source(config, codec, 48)
    assert "new.png" in load_file(stored)


def test_latents_of_several_shapes_are_those_of_the_nearest(folder, capsys):
    """By the run's buckets, which the files name; others are refused."""
    Image.new("RGB", (90, 40), "red").save(folder / "wide.png")
    with (folder / "captions.jsonl").open("a") as file:
        file.write('\n{"file": "wide.png", "captions": "one caption"}\n')
    args = ["encode-latents", str(folder), "--vae", str(VAE), "--device", "cpu", "--buckets", "48x48", "32x64"]
    assert cli.main(args) == 0
    shapes = {name: tuple(one.shape) for name, one in load_file(folder / "latents" / "00000.safetensors").items()}
    assert shapes["wide.png"] == (4, 8, 16) and {*shapes.values()} == {(4, 8, 16), (4, 12, 12)}
    codec = LatentCodec.from_pretrained(VAE)
    photos = {"photos": source_config("folder", path=str(folder), cached_latents=True)}
    stored = MixedSource(DataConfig(sources=photos, buckets=[[48, 48], [32, 64]], held_out=0), 0)
    stored.check_latents(codec, [[48, 48], [32, 64]])
    with pytest.raises(ValueError, match=r"latents of 48x48 32x64 pixels by .* the run needs 48 pixels"):
        stored.check_latents(codec, 48)
    builder_takes = {stored.generation(index, 0.0).latent.shape for index in range(4)}
    assert builder_takes == {(4, 8, 16), (4, 12, 12)}
    capsys.readouterr()
    assert cli.main([*args[:-1], "32"]) == 2
    assert "a size is HEIGHTxWIDTH in pixels" in capsys.readouterr().err
