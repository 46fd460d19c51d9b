"""Runs on a folder of images with captions: a fit, previews beside the images, and stored latents."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import train
from janusflow import cli
from janusflow.config import load_config
from janusflow.data.config import DataConfig
from janusflow.data.sources import MixedSource
from janusflow.pictures import CAPTION_HEIGHT, CELL, GAP
from janusflow.training.config import RunConfig
from janusflow.weights import ASSETS
from tests.conftest import ROOT

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


def test_a_run_learns_from_a_folder_and_shows_its_images_beside_the_drawings(folder, tmp_path):
    scenes = [MixedSource(DataConfig(), 0).generation(index, 0.0).image for index in range(3)]
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
    arguments = ["encode-latents", str(folder), "--vae", str(ASSETS / "shapes" / "vae"), "--size", "48"]
    assert cli.main(arguments) == 0
    stored = folder / "latents" / "00000.safetensors"
    before = stored.stat().st_mtime_ns
    assert cli.main(arguments) == 0
    assert stored.stat().st_mtime_ns == before, "what is there is not encoded again"
    every_step = ["trainer.log_every=1", "preview.examples=0"]
    pixels = run_losses(config, *every_step)
    latents = run_losses(config, *every_step, "data.sources.photos.cached_latents=true")
    assert len(pixels) == 3 and latents == pytest.approx(pixels, rel=1e-4), "rounding of another batch size, no more"
