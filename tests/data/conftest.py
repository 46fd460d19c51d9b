"""Images and files that sources read."""

import io
import json
import tarfile

import pytest
from PIL import Image

from janusflow.data.readers import files


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "CONTENTS", tmp_path / "contents")


def picture(colour, size=(48, 32), kind="PNG"):
    """The bytes of an image of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def write_shard(path, samples):
    """A tar file of {name: bytes}."""
    with tarfile.open(path, "w") as tar:
        for name, content in samples.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def shard(tmp_path):
    talk = [{"from": "human", "value": "<image>\ncolour?"}, {"from": "gpt", "value": "blue"}]
    samples = {
        "a/0.png": picture("red"),
        "a/0.txt": b"a red picture",
        "a/1.webp": picture("green", kind="WEBP"),
        "a/1.json": json.dumps({"caption": "a green picture", "aesthetic": 6.5}).encode(),
        "2.jpg": picture("blue", kind="JPEG"),
        "2.json": json.dumps({"conversations": talk}).encode(),
        "3.txt": b"no image",
    }
    return write_shard(tmp_path / "00000.tar", samples)


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
