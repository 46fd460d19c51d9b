"""A folder of images with captions: what it gives, what it refuses, and a fit on it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import train
from janusflow import cli
from janusflow.checkpoints.pretrained import ASSETS
from janusflow.codecs.vae import LatentCodec
from janusflow.config import load_config
from janusflow.data.config import DataConfig, SourceConfig
from janusflow.data.encode import encode_source
from janusflow.data.readers.folder import FolderReader
from janusflow.data.sources import open_reader, open_source
from janusflow.pictures import CAPTION_HEIGHT, CELL, GAP
from janusflow.training.config import RunConfig
from janusflow.worlds.shapes.source import ShapesSource
from tests.conftest import ROOT

VAE = ASSETS / "shapes" / "vae"
CACHED = "data.sources.photos.cached_latents=true"

SMALL = """
base: {base}
out: {out}
model:
  llm: {{hidden_size: 32, intermediate_size: 64, num_layers: 2, num_heads: 2, num_kv_heads: 2}}
  vision: {{image_size: 48, patch_size: 8, width: 24, depth: 1, num_heads: 2}}
  flow_head: {{width: 16, latent_size: 12}}
parts: {{vae: shapes/vae}}
data: {{sources: {{photos: {{path: {folder}}}}}, image_size: 48, workers: 0}}
stages: {{overfit: {{steps: 3, warmup_steps: 1}}}}
trainer: {{precision: 32-true}}
preview: {{steps: 2}}
"""


@pytest.fixture
def folder(tmp_path):
    """Three images of one colour each; the first is oblong."""
    path = tmp_path / "photos"
    path.mkdir()
    lines = []
    for number, size in enumerate([(60, 40), (50, 50), (48, 48)]):
        Image.new("RGB", size, (80 * number, 0, 255)).save(path / f"{number}.png")
        lines.append(json.dumps({"file": f"{number}.png", "captions": [f"picture {number}. Plain.", f"blue {number}"]}))
    (path / "captions.jsonl").write_text("\n".join(lines) + "\n\n")
    return path


def source(folder, seed):
    """The folder as a run's only source."""
    return open_source(DataConfig(sources={"photos": SourceConfig("folder", str(folder))}), seed)


def test_samples_are_a_function_of_seed_task_and_index(folder):
    first, second, other = source(folder, 1), source(folder, 1), source(folder, 2)
    for index in (7, 0, 3):
        a, b = first.generation(index, 0.5), second.generation(index, 0.5)
        assert a.prompt == b.prompt and a.image.tobytes() == b.image.tobytes()
        assert first.text(index) == second.text(index)
    assert [first.generation(i, 0).prompt for i in range(12)] != [other.generation(i, 0).prompt for i in range(12)]


def test_each_pass_shows_every_image_once(folder):
    photos = source(folder, 0)
    for turn in range(4):
        colours = {photos.understanding(3 * turn + i).images[0].getpixel((0, 0))[0] for i in range(3)}
        assert colours == {0, 80, 160}


def test_captions_are_asked_for(folder):
    (turn,) = source(folder, 0).understanding(0).turns
    assert turn[0] and turn[1].startswith(("picture", "blue"))


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("no json", "line 4"),
        ('{"file": "0.png"}', "captions"),
        ('{"file": "gone.png", "captions": ["a"]}', r"gone\.png"),
        ('{"file": "0.png", "captions": []}', r"0\.png"),
        ("[1]", "line 4"),
    ],
)
def test_damaged_listing_is_named(folder, line, named):
    listing = folder / "captions.jsonl"
    listing.write_text(listing.read_text().rstrip() + "\n" + line + "\n")
    with pytest.raises(ValueError, match=named):
        FolderReader(folder)


def test_folder_without_listing_or_images_is_named(tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        FolderReader(tmp_path / "gone")
    Image.new("RGB", (48, 48)).save(tmp_path / "mute.png")
    with pytest.raises(ValueError, match=r"no captions: .*captions\.jsonl .*metadata\.jsonl .*or cat\.txt beside"):
        FolderReader(tmp_path)
    (tmp_path / "captions.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="lists no image"):
        FolderReader(tmp_path)


def captions_by_name(folder):
    """What a folder's reader gives."""
    reader = FolderReader(folder)
    return {reader.name(item): reader.captions(item) for item in range(len(reader))}


def test_the_hubs_listings_are_read_also_in_subfolders(folder):
    (folder / "captions.jsonl").unlink()
    (folder / "metadata.csv").write_text('file_name,text\n0.png,"zero, or none"\n')
    for part, file in (("test", "1.png"), ("train", "2.png")):
        (folder / part).mkdir()
        (folder / file).rename(folder / part / "1.png")
        (folder / part / "metadata.jsonl").write_text(f'{{"file_name": "1.png", "text": "one of {part}"}}\n')
    expected = {"0.png": ["zero, or none"], "test/1.png": ["one of test"], "train/1.png": ["one of train"]}
    assert captions_by_name(folder) == expected
    (folder / "test" / "metadata.jsonl").write_text('{"file": "1.png", "text": "x"}')
    with pytest.raises(ValueError, match=r'test/metadata\.jsonl, line 1 is not of the form {"file_name": "cat'):
        FolderReader(folder)
    (folder / "metadata.csv").write_text("file_name,text\n0.png\n")
    with pytest.raises(ValueError, match=r"metadata\.csv, line 2 is not of the form file_name,text"):
        FolderReader(folder)


def test_texts_beside_images_are_their_captions(folder):
    (folder / "captions.jsonl").unlink()
    (folder / "2.png").rename(folder / "2.PNG")
    for number in (0, 2):
        (folder / f"{number}.txt").write_text(f"number {number}\n")
    reader = FolderReader(folder)
    rng = np.random.default_rng(0)
    assert [reader.name(item) for item in range(3)] == ["0.png", "1.png", "2.PNG"]
    assert [reader.generation(item, rng).prompt for item in (0, 2)] == ["number 0", "number 2"]
    with pytest.raises(ValueError, match=r"1\.png has no caption: .*1\.txt"):
        reader.generation(1, rng)


def test_a_run_learns_from_a_folder_and_shows_its_images_beside_the_drawings(folder, tmp_path):
    scenes = [ShapesSource(DataConfig(), seed=0).generation(index, 0.0).image for index in range(3)]
    for number, scene in enumerate(scenes):
        scene.save(folder / f"{number}.png")
    config = tmp_path / "small.yaml"
    config.write_text(SMALL.format(base=ROOT / "configs/photos_overfit.yaml", out=tmp_path / "runs", folder=folder))
    assert train.main([str(config)]) == 0
    run = tmp_path / "runs" / "photos_overfit"
    assert (run / "model" / "config.json").exists()
    sheet = Image.open(run / "samples" / "overfit-000003.png").convert("RGB")
    row = (sheet.height - GAP) // 3
    for number, scene in enumerate(scenes):
        top = GAP + number * row + CAPTION_HEIGHT
        cell = np.asarray(sheet.crop((GAP, top, GAP + CELL, top + CELL)).resize(scene.size), dtype=float)
        assert np.abs(cell - np.asarray(scene, dtype=float)).mean() < 10, "the first column is the image itself"


def run_losses(config, *overrides):
    """The losses of a run of ``config``, in order."""
    assert train.main([str(config), *overrides]) == 0
    out = Path(load_config(RunConfig, config).out)
    run = max(out.iterdir(), key=lambda path: path.stat().st_mtime)
    with (run / "metrics.csv").open(newline="") as file:
        return [float(row["value"]) for row in csv.DictReader(file) if row["metric"] == "loss/flow"]


def test_training_from_stored_latents_equals_training_from_pixels(folder, tmp_path):
    config = tmp_path / "small.yaml"
    config.write_text(SMALL.format(base=ROOT / "configs/photos_overfit.yaml", out=tmp_path / "runs", folder=folder))
    arguments = ["encode-latents", str(folder), "--vae", str(VAE), "--size", "48"]
    assert cli.main(arguments) == 0
    stored = folder / "latents" / "00000.safetensors"
    before = stored.stat().st_mtime_ns
    assert cli.main(arguments) == 0
    assert stored.stat().st_mtime_ns == before, "what is there is not encoded again"
    every_step = ["trainer.log_every=1", "preview.examples=0"]
    pixels = run_losses(config, *every_step)
    latents = run_losses(config, *every_step, CACHED)
    assert len(pixels) == 3 and latents == pytest.approx(pixels, rel=1e-4), "rounding of another batch size, no more"


def test_latents_of_another_size_or_vae_are_refused(folder, tmp_path, capsys):
    config = tmp_path / "small.yaml"
    config.write_text(SMALL.format(base=ROOT / "configs/photos_overfit.yaml", out=tmp_path / "runs", folder=folder))
    codec = LatentCodec.from_pretrained(VAE)
    assert train.main([str(config), CACHED]) == 2
    assert "encode-latents" in capsys.readouterr().err
    encode_source(SourceConfig("folder", str(folder)), codec, 32)
    assert train.main([str(config), CACHED]) == 2
    assert "32 pixels" in capsys.readouterr().err
    with torch.no_grad():
        next(codec.module.parameters()).add_(1)
    other = LatentCodec(codec.module)
    encode_source(SourceConfig("folder", str(folder)), other, 48)
    assert train.main([str(config), CACHED]) == 2
    assert other.digest in capsys.readouterr().err


def test_unfinished_or_damaged_latents_are_made_again(folder):
    codec = LatentCodec.from_pretrained(VAE)
    encode_source(SourceConfig("folder", str(folder)), codec, 48)
    stored = folder / "latents" / "00000.safetensors"
    whole = {name: latent.clone() for name, latent in load_file(stored).items()}  # not views of the file
    stored.write_bytes(stored.read_bytes()[:-10])
    encode_source(SourceConfig("folder", str(folder)), codec, 48)
    again = load_file(stored)
    assert again.keys() == whole.keys() == {"0.png", "1.png", "2.png"}
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_latents_follow_a_folder_that_grows(folder):
    codec = LatentCodec.from_pretrained(VAE)
    encode_source(SourceConfig("folder", str(folder)), codec, 48)
    Image.new("RGB", (60, 60), "red").save(folder / "new.png")
    with (folder / "captions.jsonl").open("a") as file:
        file.write('\n{"file": "new.png", "captions": "one caption"}\n')
    encode_source(SourceConfig("folder", str(folder)), codec, 48)
    assert "new.png" in load_file(folder / "latents" / "00000.safetensors")
    reader = open_reader(SourceConfig("folder", str(folder), cached_latents=True))
    assert reader.generation(3, np.random.default_rng(0)).prompt == "one caption"


def test_examples_need_a_folder(tmp_path, capsys):
    arguments = [str(ROOT / "configs/shapes.yaml"), "preview.examples=2", f"out={tmp_path}"]
    assert train.main(arguments) == 2
    assert "preview.examples" in capsys.readouterr().err
