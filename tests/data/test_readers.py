"""Readers: what they give from real files, and how they name what they cannot use."""

import json
import pickle

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from janusflow.data.config import source_config
from janusflow.data.readers import text, webdataset
from janusflow.data.readers.webdataset import Shards
from janusflow.data.sample import DocumentSample
from janusflow.data.sources import open_reader
from tests.data.conftest import picture, write_shard

RNG = np.random.default_rng(0)
HELLO = [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "hi"}]


def reader(kind, path, **keys):
    return open_reader(source_config(kind, path=str(path), **keys))


# Shards


def test_shards_give_images_captions_and_conversations(shard):
    shards = reader("webdataset", shard)
    assert len(shards) == 3
    samples = [shards.generation(item, RNG) for item in range(2)]
    assert [sample.prompt for sample in samples] == ["a red picture", "a green picture"]
    assert [sample.image.getpixel((5, 5))[number] > 100 for number, sample in enumerate(samples)] == [True, True]
    (image,), turns = shards.understanding(2, RNG)
    assert turns == [("colour?", "blue")] and image.getpixel((5, 5))[2] > 200
    assert shards.understanding(0, RNG).turns[0][1] == "a red picture"
    assert shards.text(1, RNG).text == "a green picture"


def test_shards_are_looked_through_once_and_again_when_they_change(shard, monkeypatch):
    assert len(Shards([shard])) == 3
    scans = []
    scan = webdataset.scan
    monkeypatch.setattr(webdataset, "scan", lambda path: scans.append(path) or scan(path))
    assert len(Shards([shard])) == 3 and not scans
    write_shard(shard, {"x.png": picture("red"), "x.txt": b"x"})
    assert Shards([shard])[0].key == "x" and scans


def test_every_member_is_found_where_it_is(tmp_path):
    """Long and foreign names, mixed endings, members far apart, several images of a sample, an empty text."""
    rng = np.random.default_rng(0)
    keys = ["0", "ünï", "f/" + "long" * 60, "f/1", "2.x"]
    endings = [["JPG", "txt"], ["png", "json"], ["webp", "txt", "json"], ["webp", "png", "seg.png"], ["png"]]
    names = [f"{key}.{ending}" for key, own in zip(keys, endings, strict=True) for ending in own]
    members = {name: rng.bytes(int(rng.integers(2000))) for name in rng.permutation(names).tolist()} | {"0.txt": b""}
    write_shard(tmp_path / "a.tar", members)
    write_shard(tmp_path / "b.tar", {"last.png": b"last"})
    shards = reader("webdataset", f"{tmp_path}/*.tar")
    found = {}
    for item in rng.permutation(len(shards)).tolist():
        entry = shards.entries[item]
        found |= {f"{entry.key}.{ending}": shards.member(entry, ending) for ending in entry.members}
    taken = {name.replace("JPG", "jpg"): content for name, content in members.items()} | {"last.png": b"last"}
    for left_out in ("f/1.webp", "f/1.seg.png", "2.x.png"):
        del taken[left_out]
    assert found == taken
    copy = pickle.loads(pickle.dumps(shards))
    assert [copy.name(item) for item in range(len(copy))] == [shards.name(item) for item in range(len(shards))]
    assert len(pickle.dumps(shards.entries)) < 2000, "workers are given names of tables, not the tables"


def test_scores_and_sizes_leave_samples_out(shard):
    scored = reader("webdataset", shard, score_field="aesthetic", min_score=6)
    assert scored.generation(1, RNG).prompt == "a green picture"
    with pytest.raises(ValueError, match="a/0 has aesthetic None"):
        scored.generation(0, RNG)
    with pytest.raises(ValueError, match="below 7"):
        reader("webdataset", shard, score_field="aesthetic", min_score=7).generation(1, RNG)
    with pytest.raises(ValueError, match="48 x 32 pixels"):
        reader("webdataset", shard, min_side=40).generation(0, RNG)


# Folders


def captions_by_name(folder):
    images = reader("folder", folder)
    return {images.name(item): images.captions(item) for item in range(len(images))}


def test_the_hubs_listings_are_read_also_in_subfolders(folder):
    (folder / "captions.jsonl").unlink()
    (folder / "metadata.csv").write_text('file_name,text\n0.png,"zero, or none"\n')
    for part, file in (("test", "1.png"), ("train", "2.png")):
        (folder / part).mkdir()
        (folder / file).rename(folder / part / "1.png")
        (folder / part / "metadata.jsonl").write_text(f'{{"file_name": "1.png", "text": "one of {part}"}}\n')
    expected = {"0.png": ["zero, or none"], "test/1.png": ["one of test"], "train/1.png": ["one of train"]}
    assert captions_by_name(folder) == expected


def test_texts_beside_images_are_their_captions(folder):
    (folder / "captions.jsonl").unlink()
    (folder / "2.png").rename(folder / "2.PNG")
    for number in (0, 2):
        (folder / f"{number}.txt").write_text(f"number {number}\n")
    images = reader("folder", folder)
    assert [images.name(item) for item in range(3)] == ["0.png", "1.png", "2.PNG"]
    assert [images.generation(item, RNG).prompt for item in (0, 2)] == ["number 0", "number 2"]
    with pytest.raises(ValueError, match=r"1\.png has no caption: .*1\.txt"):
        images.generation(1, RNG)


# Parquet files

COLOURS = ["red", "lime", "blue", "white", "black"]


def write_parquet(path, images, captions, names=("image", "text")):
    """A parquet file with row groups of two."""
    parquet.write_table(pa.table(dict(zip(names, (images, captions), strict=True))), path, row_group_size=2)
    return path


def test_rows_serve_every_task_in_any_order(tmp_path):
    """Five images in two files: structs of bytes, the last of which is a file beside them, as the hub has it."""
    (tmp_path / "black.png").write_bytes(picture("black"))
    rows = [{"bytes": picture(colour), "path": None} for colour in COLOURS[:4]] + [{"bytes": None, "path": "black.png"}]
    write_parquet(tmp_path / "0.parquet", rows[:3], COLOURS[:3])
    write_parquet(tmp_path / "1.parquet", rows[3:], COLOURS[3:])
    images = reader("parquet", f"{tmp_path}/{{0..1}}.parquet")
    assert len(images) == 5
    for item in (4, 0, 3, 2, 1, 4):
        image, prompt, *_ = images.generation(item, RNG)
        assert prompt == COLOURS[item] == images.text(item, RNG).text
        assert image.tobytes() == Image.new("RGB", (48, 32), COLOURS[item]).tobytes()
        assert images.understanding(item, RNG).turns[0][1] == COLOURS[item]
    assert [images.name(item) for item in (2, 3)] == ["0.parquet/2", "1.parquet/0"]


def test_columns_have_names_of_their_own(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", [picture("red")], [["one", "two"]], ("pixels", "alt"))
    with pytest.raises(ValueError, match=r"a\.parquet has no column image or .*, only pixels, alt: .* image_column"):
        reader("parquet", path)
    with pytest.raises(ValueError, match="has no column words, only pixels, alt: name it with caption_column"):
        reader("parquet", path, image_column="pixels", caption_column="words")
    images = reader("parquet", path, image_column="pixels", caption_column="alt")
    assert {images.generation(0, np.random.default_rng(seed)).prompt for seed in range(9)} == {"one", "two"}


# Listings and text


@pytest.mark.parametrize("lines", [False, True])
def test_conversations_in_llavas_form(tmp_path, lines):
    (tmp_path / "x.png").write_bytes(picture("red"))
    human, gpt = {"from": "human", "value": "<image>\nwhat is it?"}, {"from": "gpt", "value": "red"}
    entries = [
        {"image": "x.png", "conversations": [human, gpt, {"from": "human", "value": "sure?"}, gpt]},
        {"conversations": HELLO},
    ]
    path = tmp_path / ("talk.jsonl" if lines else "talk.json")
    path.write_text("\n".join(map(json.dumps, entries)) if lines else json.dumps(entries))
    talks = reader("conversations", path)
    (image,), turns = talks.understanding(0, RNG)
    assert turns == [("what is it?", "red"), ("sure?", "red")] and image.size == (48, 32)
    assert talks.understanding(1, RNG) == ([], [("hello", "hi")])


def test_interleaved_documents(tmp_path):
    (tmp_path / "x.png").write_bytes(picture("red"))
    entry = {"texts": ["first", None, "then"], "images": [None, "x.png", None]}
    (tmp_path / "docs.jsonl").write_text(json.dumps(entry))
    document = reader("documents", tmp_path / "docs.jsonl").understanding(0, RNG)
    assert isinstance(document, DocumentSample)
    assert [s if isinstance(s, str) else s.size for s in document.segments] == ["first", (48, 32), "then"]


def test_text_corpora(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n\n{"text": "two ü"}\n')
    (tmp_path / "b.txt").write_text("three\n\nfour\n")
    corpus = reader("text", f"{tmp_path}/*")
    assert [corpus.text(item, RNG).text for item in range(len(corpus))] == ["one", "two ü", "three", "four"]


def test_lines_of_large_files_are_found_once_and_again_when_they_change(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "LARGE", 1)
    path = tmp_path / "a.txt"
    path.write_text("one\n\ntwo\n")
    find = text.find_lines
    searched = []
    monkeypatch.setattr(text, "find_lines", lambda path: searched.append(path) or find(path))
    for _ in range(2):
        assert [text.LineFile(path)[number] for number in range(2)] == ["one", "two"]
    assert searched == [path]
    path.write_text("three\n")
    assert text.LineFile(path)[0] == "three" and len(searched) == 2


# What cannot be used


def line(**entry):
    return json.dumps(entry).encode()


def rows(path, images, captions):
    return write_parquet(path, images, captions).read_bytes()


def members(path, **samples):
    return write_shard(path, {name.replace("_", "."): content for name, content in samples.items()}).read_bytes()


ONE = picture("red")
HUMAN = {"from": "human", "value": "<image>\nwhat is it?"}
MALFORMED = [  # kind, file, its content (or what makes it), and what the error says
    ("webdataset", "a.tar", b"not a tar file at all" * 100, r"a\.tar is not a whole tar file"),
    ("webdataset", "a.tar", lambda p: members(p, x_png=ONE)[:1500] + b"x", r"a\.tar"),
    ("webdataset", "a.tar", lambda p: members(p, x_txt=b"x"), "holds no image"),
    ("webdataset", "a.tar", lambda p: members(p, cut_jpg=picture("red", kind="JPEG")[:-30], cut_txt=b"x"), r"cut\.jpg"),
    ("webdataset", "a.tar", lambda p: members(p, x_png=b"no image", x_txt=b"x"), r"x\.png"),
    ("webdataset", "a.tar", lambda p: members(p, mute_png=ONE), "mute has no caption"),
    ("webdataset", "a.tar", lambda p: members(p, x_png=picture("red", (600, 20)), x_txt=b"x"), "aspect"),
    ("folder", "captions.jsonl", b"no json", "line 1"),
    ("folder", "captions.jsonl", b"[1]", "line 1"),
    ("folder", "captions.jsonl", line(file="0.png"), "captions"),
    ("folder", "captions.jsonl", line(file="gone.png", captions=["a"]), r"gone\.png"),
    ("folder", "captions.jsonl", line(file="x.png", captions=[]), r"x\.png"),
    ("folder", "captions.jsonl", b"\n", "lists no image"),
    ("folder", "metadata.jsonl", line(file="x.png", text="x"), 'line 1 is not of the form {"file_name": "cat'),
    ("folder", "metadata.csv", b"file_name,text\nx.png\n", r"metadata\.csv, line 2 is not of the form file_name,text"),
    ("folder", "other", b"", r"no captions: .*captions\.jsonl .*metadata\.jsonl .*or cat\.txt beside"),
    ("parquet", "a.parquet", b"no parquet", r"cannot read .*a\.parquet"),
    ("parquet", "a.parquet", lambda p: rows(p, [b"no image"], ["x"]), "a.parquet/0 is not an image"),
    ("parquet", "a.parquet", lambda p: rows(p, pa.array([None], pa.binary()), ["x"]), "a.parquet/0 has no image"),
    ("parquet", "a.parquet", lambda p: rows(p, [ONE], pa.array([None], pa.string())), "a.parquet/0 has no caption"),
    (
        "conversations",
        "a.jsonl",
        line(image=["x.png", "x.png"], conversations=[HUMAN, HELLO[1]]),
        "1 image marks",
    ),
    ("conversations", "a.jsonl", line(image="gone.png", conversations=HELLO), r"gone\.png"),
    ("conversations", "a.jsonl", line(conversations=HELLO[::-1]), "alternate"),
    ("conversations", "a.jsonl", line(image="x.png"), "entry 1"),
    ("conversations", "a.json", json.dumps([{"conversations": HELLO, "image": 5}]).encode(), r"a\.json, entry 1"),
    ("conversations", "a.jsonl", line(conversations=HELLO, image=["x.png", None]), r"a\.jsonl, entry 1"),
    ("conversations", "a.jsonl", line(conversations=[HELLO[0], {"from": "gpt", "value": None}]), "a turn without text"),
    ("conversations", "a.jsonl", line(conversations=[HELLO[0], {"from": "gpt", "value": ""}]), "a turn without text"),
    ("conversations", "a.json", b"{}", "does not hold a list"),
    ("documents", "a.jsonl", line(texts=["x", "y"], images=[None, "x.png"]), "either a text or an image"),
    ("documents", "a.jsonl", line(texts=[None], images=["x.png"]), "no text"),
    ("documents", "a.jsonl", line(texts=[None, "x"], images=[{"file": "x.png"}, None]), r"a\.jsonl, entry 1"),
    ("documents", "a.jsonl", line(texts=["x"]), "of equal length"),
    ("text", "a.jsonl", line(text=""), "entry 1 has no text"),
    ("text", "a.jsonl", b"not json", "entry 1"),
    ("text", "a.txt", b"\xff\xfe", "entry 1"),
    ("text", "a.txt", b"\n\n", "holds no line"),
]


@pytest.mark.parametrize(("kind", "name", "content", "named"), MALFORMED)
def test_what_cannot_be_used_is_named(tmp_path, kind, name, content, named):
    (tmp_path / "x.png").write_bytes(ONE)
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content(tmp_path / name))
    with pytest.raises(ValueError, match=named):
        opened = reader(kind, tmp_path if kind == "folder" else tmp_path / name)
        {"text": opened.text, "parquet": opened.generation}.get(kind, opened.understanding)(0, RNG)


@pytest.mark.parametrize("kind", ["webdataset", "folder", "parquet", "conversations", "documents", "text"])
def test_what_is_not_there_is_named(tmp_path, kind):
    with pytest.raises(ValueError, match=r"gone"):
        reader(kind, tmp_path / "gone")
