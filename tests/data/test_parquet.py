"""Parquet files as a source: what their rows give, how what cannot be used is named, and a fit on them."""

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

import train
from janusflow import cli
from janusflow.data.config import DataConfig, SourceConfig
from janusflow.data.sources import open_reader, open_source
from tests.conftest import ASSETS, ROOT

RNG = np.random.default_rng(0)
COLOURS = ["red", "lime", "blue", "white", "black"]

RUN = """
base: {base}
out: {folder}/runs
model:
  llm: {{hidden_size: 32, intermediate_size: 64, num_layers: 2, num_heads: 2, num_kv_heads: 2}}
  vision: {{image_size: 48, patch_size: 8, width: 24, depth: 1, num_heads: 2}}
  flow_head: {{width: 16, latent_size: 12}}
parts: {{vae: shapes/vae}}
data: {{image_size: 48, workers: 0}}
stages: {{overfit: {{steps: 2, warmup_steps: 1}}}}
trainer: {{precision: 32-true}}
preview: {{examples: 1, steps: 1}}
"""


def picture(colour):
    """The bytes of an image of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (48, 50), colour).save(file, "PNG")
    return file.getvalue()


def write(path, images, captions, names=("image", "text")):
    """A parquet file with row groups of two."""
    parquet.write_table(pa.table(dict(zip(names, (images, captions), strict=True))), path, row_group_size=2)
    return path


@pytest.fixture
def files(tmp_path):
    """Five images in two files: structs of bytes, the last of which is a file beside them, as the hub has it."""
    (tmp_path / "black.png").write_bytes(picture("black"))
    rows = [{"bytes": picture(colour), "path": None} for colour in COLOURS[:4]] + [{"bytes": None, "path": "black.png"}]
    write(tmp_path / "0.parquet", rows[:3], COLOURS[:3])
    write(tmp_path / "1.parquet", rows[3:], COLOURS[3:])
    return f"{tmp_path}/{{0..1}}.parquet"


def test_rows_serve_every_task_in_any_order(files):
    reader = open_reader(SourceConfig("parquet", files))
    assert len(reader) == 5
    for item in (4, 0, 3, 2, 1, 4):
        image, prompt, _ = reader.generation(item, RNG)
        assert prompt == COLOURS[item] == reader.text(item, RNG).text
        assert image.tobytes() == Image.new("RGB", (48, 50), COLOURS[item]).tobytes()
        assert reader.understanding(item, RNG).turns[0][1] == COLOURS[item]
    assert [reader.name(item) for item in (2, 3)] == ["0.parquet/2", "1.parquet/0"]


def test_columns_have_names_of_their_own(tmp_path):
    path = write(tmp_path / "a.parquet", [picture("red")], [["one", "two"]], ("pixels", "alt"))
    with pytest.raises(ValueError, match=r"a\.parquet has no column image or .*, only pixels, alt: .* image_column"):
        open_reader(SourceConfig("parquet", str(path)))
    with pytest.raises(ValueError, match="has no column words, only pixels, alt: name it with caption_column"):
        open_reader(SourceConfig("parquet", str(path), image_column="pixels", caption_column="words"))
    reader = open_reader(SourceConfig("parquet", str(path), image_column="pixels", caption_column="alt"))
    assert {reader.generation(0, np.random.default_rng(seed)).prompt for seed in range(9)} == {"one", "two"}
    with pytest.raises(ValueError, match="go with parquet sources, not with folder"):
        SourceConfig("folder", "x", image_column="pixels")


def test_what_cannot_be_used_is_named(tmp_path):
    write(tmp_path / "a.parquet", [b"no image", None, picture("red")], ["x", "x", None])
    reader = open_reader(SourceConfig("parquet", str(tmp_path / "a.parquet")))
    for item, words in enumerate(["a.parquet/0 is not an image", "a.parquet/1 has no image", "a.parquet/2 has no cap"]):
        with pytest.raises(ValueError, match=words):
            reader.generation(item, RNG)
    (tmp_path / "b.parquet").write_text("no parquet")
    with pytest.raises(ValueError, match=r"cannot read .*b\.parquet"):
        open_reader(SourceConfig("parquet", str(tmp_path / "b.parquet")))


def test_a_run_on_parquet_files_and_on_their_stored_latents(files, tmp_path):
    config = tmp_path / "small.yaml"
    config.write_text(RUN.format(base=ROOT / "configs/photos_overfit.yaml", folder=tmp_path))
    vae = str(ASSETS / "shapes" / "vae")
    assert cli.main(["encode-latents", files, "--vae", vae, "--size", "48", "--device", "cpu"]) == 0
    source = ["data.sources.photos.kind=parquet", f"data.sources.photos.path='{files}'"]
    assert train.main([str(config), *source, "data.sources.photos.cached_latents=true"]) == 0
    stored = open_source(DataConfig(sources={"p": SourceConfig("parquet", files, cached_latents=True)}), 0)
    assert stored.generation(0, 0.0).latent.shape == (4, 12, 12)
