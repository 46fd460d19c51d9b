"""Runs on a folder of images with captions: a fit, previews beside the images, and stored latents or codes."""

import numpy as np
import pytest
from PIL import Image

import train
from janusflow import cli
from janusflow.pictures import CAPTION_HEIGHT, CELL, GAP
from janusflow.training.config import PartsConfig
from janusflow.weights import ASSETS
from janusflow.worlds.scenes import World, sample_scene
from tests.training.conftest import assert_close, write_config


@pytest.mark.parametrize(("head", "codec"), [("flow", PartsConfig.vae), ("ar", PartsConfig.vq)])
def test_a_run_shows_its_images_and_learns_from_stored_latents_as_from_pixels(folder, tmp_path, head, codec):
    world = World("shapes", "fixed")  # which both codecs know
    scenes = [sample_scene(np.random.default_rng(number), world=world).render() for number in range(3)]
    for number, scene in enumerate(scenes):
        scene.save(folder / f"{number}.png")
    config, stage = write_config(tmp_path, head), "stages={stage1: {ratios: [{generation: 1}]}}"
    own = [str(config), f"data.sources={{photos: {{kind: folder, path: {folder}}}}}", stage, "preview.prompts=[]"]
    assert train.main([*own, "name=pixels", "preview.examples=3"]) == 0
    sheet = Image.open(tmp_path / "runs/pixels/samples/stage1-000004.png").convert("RGB")
    row = (sheet.height - GAP) // 3
    for number, scene in enumerate(scenes):
        top = GAP + number * row + CAPTION_HEIGHT
        cell = np.asarray(sheet.crop((GAP, top, GAP + CELL, top + CELL)).resize(scene.size), dtype=float)
        assert np.abs(cell - np.asarray(scene, dtype=float)).mean() < 10, "the first column is the image itself"

    encode = ["encode-latents", str(folder), "--vae", str(ASSETS / codec), "--size", "48"]
    assert cli.main(encode) == 0
    stored = folder / "latents" / "00000.safetensors"
    before = stored.stat().st_mtime_ns
    assert cli.main(encode) == 0
    assert stored.stat().st_mtime_ns == before, "what is there is not encoded again"
    assert train.main([*own, "name=stored", "data.sources.photos.cached_latents=true"]) == 0
    assert_close(tmp_path / "runs" / "stored", tmp_path / "runs" / "pixels", rel=1e-4)  # another batch's rounding
