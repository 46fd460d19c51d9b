"""Readers: what they give from real files, and how they name what they cannot use."""

import io
import json
import pickle
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from janusflow import cli
from janusflow.checkpoints.pretrained import ASSETS
from janusflow.data.config import DataConfig, SourceConfig
from janusflow.data.readers import files, shards, text
from janusflow.data.readers.files import expand
from janusflow.data.readers.shards import Shards
from janusflow.data.sample import DocumentSample
from janusflow.data.sources import MixedSource, open_reader, open_source

RNG = np.random.default_rng(0)
VAE = ASSETS / "shapes" / "vae"


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
    return write_shard(
        tmp_path / "00000.tar",
        {
            "a/0.png": picture("red"),
            "a/0.txt": b"a red picture",
            "a/1.webp": picture("green", kind="WEBP"),
            "a/1.json": json.dumps({"caption": "a green picture", "aesthetic": 6.5}).encode(),
            "2.jpg": picture("blue", kind="JPEG"),
            "2.json": json.dumps(
                {"conversations": [{"from": "human", "value": "<image>\ncolour?"}, {"from": "gpt", "value": "blue"}]}
            ).encode(),
            "3.txt": b"no image",
        },
    )


def test_shards_give_images_captions_and_conversations(shard):
    reader = open_reader(SourceConfig("webdataset", str(shard)))
    assert len(reader) == 3
    samples = [reader.generation(item, RNG) for item in range(2)]
    assert [sample.prompt for sample in samples] == ["a red picture", "a green picture"]
    assert [sample.image.getpixel((5, 5))[number] > 100 for number, sample in enumerate(samples)] == [True, True]
    (image,), turns = reader.understanding(2, RNG)
    assert turns == [("colour?", "blue")] and image.getpixel((5, 5))[2] > 200
    assert reader.understanding(0, RNG).turns[0][1] == "a red picture"
    assert reader.text(1, RNG).text == "a green picture"


def test_shards_are_looked_through_once_and_again_when_they_change(shard, monkeypatch):
    assert len(Shards([shard])) == 3
    scans = []
    scan = shards.scan
    monkeypatch.setattr(shards, "scan", lambda path: scans.append(path) or scan(path))
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
    reader = open_reader(SourceConfig("webdataset", f"{tmp_path}/*.tar"))
    found = {}
    for item in rng.permutation(len(reader)).tolist():
        entry = reader.entries[item]
        found |= {f"{entry.key}.{ending}": reader.member(entry, ending) for ending in entry.members}
    taken = {name.replace("JPG", "jpg"): content for name, content in members.items()} | {"last.png": b"last"}
    for left_out in ("f/1.webp", "f/1.seg.png", "2.x.png"):
        del taken[left_out]
    assert found == taken
    copy = pickle.loads(pickle.dumps(reader))
    assert [copy.name(item) for item in range(len(copy))] == [reader.name(item) for item in range(len(reader))]
    assert len(pickle.dumps(reader.entries)) < 2000, "workers are given names of tables, not the tables"


def test_scores_and_sizes_leave_samples_out(shard):
    reader = open_reader(SourceConfig("webdataset", str(shard), score_field="aesthetic", min_score=6))
    assert reader.generation(1, RNG).prompt == "a green picture"
    with pytest.raises(ValueError, match="a/0 has aesthetic None"):
        reader.generation(0, RNG)
    with pytest.raises(ValueError, match="below 7"):
        open_reader(SourceConfig("webdataset", str(shard), score_field="aesthetic", min_score=7)).generation(1, RNG)
    with pytest.raises(ValueError, match="48 x 32 pixels"):
        open_reader(SourceConfig("webdataset", str(shard), min_side=40)).generation(0, RNG)


def test_damaged_samples_and_shards_are_named(tmp_path):
    shard = write_shard(
        tmp_path / "bad.tar",
        {
            "cut.jpg": picture("red", kind="JPEG")[:-30],
            "cut.txt": b"cut",
            "text.png": b"no image",
            "text.txt": b"text",
            "mute.png": picture("red"),
            "long.png": picture("red", (600, 20)),
            "long.txt": b"long",
        },
    )
    reader = open_reader(SourceConfig("webdataset", str(shard)))
    for item, words in enumerate(["cut.jpg", "text.png", "mute has no caption", "aspect"]):
        with pytest.raises(ValueError, match=words):
            reader.generation(item, RNG)
    whole = shard.read_bytes()
    shard.write_bytes(whole[:1500])
    with pytest.raises(ValueError, match=r"bad\.tar"):
        open_reader(SourceConfig("webdataset", str(shard))).generation(0, RNG)
    (tmp_path / "text.tar").write_text("not a tar file at all" * 100)
    with pytest.raises(ValueError, match=r"text\.tar is not a whole tar file"):
        open_reader(SourceConfig("webdataset", str(tmp_path / "text.tar")))


def test_paths_globs_ranges_and_urls(tmp_path):
    for name in ("s-08.tar", "s-09.tar", "s-10.tar"):
        (tmp_path / name).touch()
    names = [path.name for path in expand(f"{tmp_path}/s-{{08..10}}.tar")]
    assert names == ["s-08.tar", "s-09.tar", "s-10.tar"]
    assert [path.name for path in expand(f"{tmp_path}/s-0*.tar")] == ["s-08.tar", "s-09.tar"]
    with pytest.raises(ValueError, match=r"s-11\.tar"):
        expand(f"{tmp_path}/s-{{10..11}}.tar")
    (copy,) = expand(f"file://{tmp_path}/s-08.tar", cache=tmp_path / "cache")
    assert copy.parent == tmp_path / "cache" and copy.exists()
    with pytest.raises(ValueError, match="cannot fetch"):
        expand(f"file://{tmp_path}/gone.tar", cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*gone*.tar"))


@pytest.mark.parametrize("lines", [False, True])
def test_conversations_in_llavas_form(tmp_path, lines):
    (tmp_path / "x.png").write_bytes(picture("red"))
    human, gpt = {"from": "human", "value": "<image>\nwhat is it?"}, {"from": "gpt", "value": "red"}
    entries = [
        {"image": "x.png", "conversations": [human, gpt, {"from": "human", "value": "sure?"}, gpt]},
        {"conversations": [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "hi"}]},
        {"image": ["x.png", "x.png"], "conversations": [human, gpt]},
        {"image": "gone.png", "conversations": [human, gpt]},
        {"image": "x.png", "conversations": [gpt, human]},
        {"image": "x.png"},
    ]
    path = tmp_path / ("talk.jsonl" if lines else "talk.json")
    path.write_text("\n".join(map(json.dumps, entries)) if lines else json.dumps(entries))
    reader = open_reader(SourceConfig("conversations", str(path)))
    (image,), turns = reader.understanding(0, RNG)
    assert turns == [("what is it?", "red"), ("sure?", "red")] and image.size == (48, 32)
    assert reader.understanding(1, RNG) == ([], [("hello", "hi")])
    for item, words in enumerate(["1 image marks for 2 images", "gone.png", "alternate", "entry 6"], 2):
        with pytest.raises(ValueError, match=words):
            reader.understanding(item, RNG)


@pytest.mark.parametrize("image", [5, True, ["x.png", None], {"file": "x.png"}])
def test_listings_of_the_wrong_type_are_named(tmp_path, image):
    turns = [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "hi"}]
    (tmp_path / "talk.json").write_text(json.dumps([{"image": image, "conversations": turns}]))
    with pytest.raises(ValueError, match=r"talk\.json, entry 1"):
        open_reader(SourceConfig("conversations", str(tmp_path / "talk.json"))).understanding(0, RNG)
    (tmp_path / "docs.jsonl").write_text(json.dumps({"texts": [None, "x"], "images": [image, None]}))
    with pytest.raises(ValueError, match=r"docs\.jsonl, entry 1"):
        open_reader(SourceConfig("documents", str(tmp_path / "docs.jsonl"))).understanding(0, RNG)


@pytest.mark.parametrize("value", [None, "", 3])
def test_turns_without_text_are_named(tmp_path, value):
    turns = [{"from": "human", "value": "hello"}, {"from": "gpt", "value": value}]
    (tmp_path / "talk.json").write_text(json.dumps([{"conversations": turns}]))
    with pytest.raises(ValueError, match="a turn without text"):
        open_reader(SourceConfig("conversations", str(tmp_path / "talk.json"))).understanding(0, RNG)


def test_one_process_fetches_and_others_wait(tmp_path):
    (tmp_path / "far.txt").write_text("content" * 100_000)
    url, cache = f"file://{tmp_path}/far.txt", tmp_path / "cache"
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: expand(url, cache)[0].read_text(), range(4)))
    assert found == ["content" * 100_000] * 4


def test_shards_of_one_name_cannot_share_latents(tmp_path, monkeypatch):
    for colour in ("red", "blue"):
        (tmp_path / colour).mkdir()
        write_shard(tmp_path / colour / "0.tar", {"0.png": picture(colour), "0.txt": colour.encode()})
    pattern = f"{tmp_path}/*/0.tar"
    assert cli.main(["encode-latents", pattern, "--vae", str(VAE), "--size", "48", "--device", "cpu"]) == 0
    with pytest.raises(ValueError, match=r"both hold 0\.tar/0"):
        open_reader(SourceConfig("webdataset", pattern, cached_latents=True))


def test_text_corpora(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n\n{"text": ""}\nnot json\n{"text": "two ü"}\n')
    (tmp_path / "b.txt").write_text("three\n\nfour\n")
    reader = open_reader(SourceConfig("text", f"{tmp_path}/*"))
    assert len(reader) == 6
    assert [reader.text(item, RNG).text for item in (0, 3, 4, 5)] == ["one", "two ü", "three", "four"]
    for item, words in ((1, "entry 2 has no text"), (2, "entry 3")):
        with pytest.raises(ValueError, match=words):
            reader.text(item, RNG)
    with pytest.raises(ValueError, match="no file matches"):
        open_reader(SourceConfig("text", str(tmp_path / "gone.txt")))


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


def test_interleaved_documents(tmp_path):
    (tmp_path / "x.png").write_bytes(picture("red"))
    entries = [
        {"texts": ["first", None, "then"], "images": [None, "x.png", None]},
        {"texts": ["first", "x"], "images": [None, "x.png"]},
        {"texts": [None], "images": ["x.png"]},
    ]
    (tmp_path / "docs.jsonl").write_text("\n".join(map(json.dumps, entries)))
    reader = open_reader(SourceConfig("documents", str(tmp_path / "docs.jsonl")))
    document = reader.understanding(0, RNG)
    assert isinstance(document, DocumentSample)
    assert [s if isinstance(s, str) else s.size for s in document.segments] == ["first", (48, 32), "then"]
    for item, words in ((1, "either a text or an image"), (2, "no text")):
        with pytest.raises(ValueError, match=words):
            reader.understanding(item, RNG)


def test_sources_are_mixed_by_weight_for_the_tasks_they_serve(tmp_path, shard):
    (tmp_path / "t.txt").write_text("one\ntwo\nthree\n")
    configs = {
        "shard": SourceConfig("webdataset", str(shard), tasks=["generation", "text"], weight=1),
        "text": SourceConfig("text", str(tmp_path / "t.txt"), weight=3),
    }
    source = MixedSource(configs, seed=0)
    lines = {"one", "two", "three"}
    drawn = [source.orders["text"][index][0] for index in range(1000)]
    assert np.bincount(drawn).tolist() == [250, 750]
    served = [index for index in range(20) if drawn[index] == 1]
    assert {source.text(index).text for index in served} == lines
    again = MixedSource(configs, seed=0)
    assert [source.text(i) for i in served] == [again.text(i) for i in served]
    with pytest.raises(ValueError, match="understanding"):
        source.understanding(0)
    with pytest.raises(ValueError, match="'text' \\(text\\) gives no generation"):
        MixedSource({"text": SourceConfig("text", str(tmp_path / "t.txt"), tasks=["generation"])}, 0)


def test_first_sentences(tmp_path):
    shard = write_shard(tmp_path / "s.tar", {"0.png": picture("red"), "0.txt": b"One. Two. Three."})
    source = open_source(DataConfig(sources={"s": SourceConfig("webdataset", str(shard))}), 0)
    prompts = [source.generation(index, 0.25).prompt for index in range(400)]
    assert set(prompts) == {"One", "One. Two. Three."}
    assert 0.18 < np.mean([prompt == "One" for prompt in prompts]) < 0.32


def test_stored_latents_of_shards(shard, capsys, monkeypatch):
    """By two processes, beside the shards; what is there stays; an unreadable image has none."""
    second = write_shard(shard.with_name("00001.tar"), {"x.png": picture("red"), "x.txt": b"x", "y.png": b"no image"})
    pattern = str(shard.with_name("{00000..00001}.tar"))
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert cli.main(["encode-latents", pattern, "--vae", str(VAE), "--size", "48", "--device", "cpu"]) == 0
    assert "left out" in capsys.readouterr().err
    reader = open_reader(SourceConfig("webdataset", pattern, cached_latents=True))
    latents = [reader.generation(item, RNG).latent for item in (0, 1, 3)]
    assert all(latent.shape == (4, 12, 12) for latent in latents)
    with pytest.raises(ValueError, match=r"holds no latent of 00001\.tar/y"):
        reader.generation(4, RNG)
    before = second.with_suffix(".latents.safetensors").stat().st_mtime_ns
    assert cli.main(["encode-latents", pattern, "--vae", str(VAE), "--size", "48", "--device", "cpu"]) == 0
    assert second.with_suffix(".latents.safetensors").stat().st_mtime_ns == before
