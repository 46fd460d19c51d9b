"""``janusflow data check``: what is found in a folder with known faults, and bad input."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from janusflow.cli import main


@pytest.fixture
def photos(tmp_path):
    """Twelve different pictures, a copy of one, one of another size, and a damaged file."""
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for number in range(12):
        coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8))
        coarse.resize((80, 60), Image.Resampling.BICUBIC).save(folder / f"{number:02d}.png")
    shutil.copy(folder / "03.png", folder / "12.png")
    with Image.open(folder / "05.png") as image:
        image.resize((160, 120)).save(folder / "13.jpg", quality=80)
    (folder / "14.png").write_bytes((folder / "01.png").read_bytes()[:200])
    for path in folder.iterdir():
        path.with_suffix(".txt").write_text("a red house" if path.stem < "02" else f"picture number {path.stem}")
    return folder


def test_counts_duplicates_faults_and_a_contact_sheet(photos, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [f"folder={photos}", "--out", str(out), "--workers", "0", "--tokenizer", "shapes/tokenizer.json"]
    assert main(["data", "check", *arguments]) == 1, "a fifteenth is more than max_faults"
    text = capsys.readouterr().out
    found = json.loads((out / "folder.json").read_text())
    counts = {key: found[key] for key in ("samples", "looked_at", "unreadable", "pictures", "repeated_texts")}
    assert counts == {"samples": 15, "looked_at": 15, "unreadable": 1, "pictures": 14, "repeated_texts": 1}
    assert (found["width"][0], found["width"][-1], found["words"][0]) == (80, 160, 3)
    assert found["same_examples"] == [[3, 12]] and found["alike_examples"] == [[5, 13]]
    assert found["tokens"][0] >= 3 and "14.png" in (out / "folder-faults.txt").read_text()
    assert "samples 3 and 12" in text and "samples 5 and 13" in text and "14.png" in text
    with Image.open(out / "folder.png") as sheet:
        assert sheet.width > 8 * 96 and sheet.height > 2 * 96


def test_the_sources_of_a_run_are_checked_with_its_tokenizer(photos, tmp_path, capsys):
    (tmp_path / "14.txt").write_text("")
    (photos / "14.png").unlink()
    run = tmp_path / "run.yaml"
    sources = {"mine": {"kind": "folder", "path": str(photos), "min_side": 100}, "world": {"kind": "world"}}
    run.write_text(json.dumps({"data": {"sources": sources}, "stages": {"one": {}}}))
    arguments = ["--out", str(tmp_path / "out"), "--limit", "13", "--workers", "0"]
    assert main(["data", "check", str(run), *arguments]) == 0
    mine, world = (json.loads((tmp_path / "out" / f"{name}.json").read_text()) for name in sources)
    assert (mine["looked_at"], mine["left_out"], world["looked_at"], world["samples"]) == (13, 13, 13, 0)
    assert world["tokens"] and not mine["width"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere.yaml", "cannot read the configuration nowhere.yaml"),
        ("photos", "neither a YAML file nor of the form KIND=PATH"),
        ("folder=nowhere", "nowhere"),
        ("folders=nowhere", "did you mean folder?"),
        ("folder=PHOTOS,depth=3", "depth"),
    ],
)
def test_bad_input_is_one_line(photos, tmp_path, capsys, source, words):
    assert main(["data", "check", source.replace("PHOTOS", str(photos)), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line and not (tmp_path / "out").exists()
