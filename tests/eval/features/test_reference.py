"""Reference features: computed once, and never taken from a file that is stale or damaged."""

import zipfile

import numpy as np
import pytest
import torch
from cleanfid.fid import get_files_features
from PIL import Image

from eval.features import reference as module
from eval.features.extractors import TorchScriptExtractor
from eval.features.frechet import frechet_distance
from eval.features.images import ImageFiles
from eval.features.reference import find_reference, read_reference, reference_record, write_reference
from eval.features.resizing import gigagan
from tests.eval.pictures import picture, stand_in, write_pictures

NAMES = [f"{kind}/{i}.png" for kind in ("art", "food") for i in range(4)]


class Counting(TorchScriptExtractor):
    """Counts the pictures that it sees."""

    seen = 0

    def features(self, pixels):
        self.seen += len(pixels)
        return super().features(pixels)


@pytest.fixture
def folder(tmp_path):
    write_pictures(tmp_path / "real", NAMES)
    return tmp_path / "real"


@pytest.fixture
def extractor(tmp_path):
    return Counting(stand_in(tmp_path))


def find(folder, extractor, resize="gigagan", count=None, workers=0, batch_size=2):
    files = ImageFiles(folder)
    names = files.names[:count]
    return find_reference(folder.parent / "cache", "kept", files, names, extractor, resize, workers, batch_size)


def pack(folder, prefix="", more=None):
    """The folder as an archive beside it."""
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, f"{prefix}{path.relative_to(folder)}")
        for name, content in (more or {}).items():
            archive.writestr(name, content)
    return folder.with_suffix(".zip")


def kept_file(folder):
    """The only file that is kept: nothing unfinished stands beside it."""
    [path] = (folder.parent / "cache").iterdir()
    assert path.match("kept-*.npz")
    return path


def test_is_computed_once(folder, extractor):
    first = find(folder, extractor)
    assert extractor.seen == len(NAMES)
    second = find(folder, extractor)
    assert extractor.seen == len(NAMES)
    np.testing.assert_array_equal(first.features, second.features)
    np.testing.assert_array_equal(first.stats.cov, second.stats.cov)
    assert second.names == tuple(NAMES) and second.record == first.record
    assert first.record["pictures"] == len(NAMES) and first.record["resize"] == "gigagan"
    assert first.record["extractor"]["weights"] == extractor.digest
    np.testing.assert_array_equal(first.features, extractor([gigagan(picture(i)) for i in range(len(NAMES))]))
    assert kept_file(folder).stem == f"kept-{first.record['key']}"


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: picture(99).save(folder / "art/99.png"),
        lambda folder: picture(3, (60, 60)).save(folder / NAMES[3]),
        lambda folder: (folder / NAMES[3]).unlink(),
        lambda folder: {"resize": "clean"},
        lambda folder: {"count": 5},
        lambda folder: {"extractor": Counting(stand_in(folder, b" "))},
    ],
)
def test_a_stale_file_is_computed_anew(folder, extractor, change):
    before = find(folder, extractor).record["key"]
    extractor.seen = 0
    changed = change(folder) or {}
    after = find(folder, **{"extractor": extractor, **changed})
    assert changed.get("extractor", extractor).seen == after.stats.n > 0
    assert after.record["key"] != before


@pytest.mark.parametrize("packed", [False, True])
def test_another_picture_of_as_many_bytes_is_another_reference(tmp_path, extractor, packed):
    keys = []
    for number in range(2):
        write_pictures(tmp_path / "real", ["0.bmp"], first_seed=number)
        files = pack(tmp_path / "real") if packed else tmp_path / "real"
        keys.append(reference_record(ImageFiles(files), ["0.bmp"], extractor, "gigagan")["key"])
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content, features: content[: len(content) // 2],
        lambda content, features: b"noise" * 100,
        lambda content, features: b"",
        lambda content, features: b'{"mean": 3}',
        lambda content, features: content.replace(features, bytes([features[0] ^ 255]) + features[1:]),
    ],
)
def test_a_damaged_file_is_computed_anew(folder, extractor, damage):
    expected = find(folder, extractor).features
    kept = kept_file(folder)
    damaged = damage(kept.read_bytes(), expected.tobytes())
    assert damaged != kept.read_bytes()
    kept.write_bytes(damaged)
    extractor.seen = 0
    np.testing.assert_array_equal(find(folder, extractor).features, expected)
    assert extractor.seen == len(NAMES) and kept.read_bytes() != damaged


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_picture_is_named_and_nothing_is_kept(folder, extractor, workers):
    content = (folder / NAMES[5]).read_bytes()
    (folder / NAMES[5]).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"food/1\.png") as raised:
        find(folder, extractor, workers=workers)
    assert "\n" not in str(raised.value) and not (folder.parent / "cache").exists()


@pytest.mark.parametrize("damage", [None, "cut", "empty"])
def test_a_killed_computation_goes_on(folder, extractor, monkeypatch, damage):
    monkeypatch.setattr(module, "PIECE", 3)
    read = ImageFiles.read

    def killed(self, name):
        if name == NAMES[7]:
            raise KeyboardInterrupt
        return read(self, name)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ImageFiles, "read", killed)
        find(folder, extractor, workers=0)
    pieces = sorted((folder.parent / "cache").glob("*.pieces/*"))
    assert [piece.name for piece in pieces] == ["000000.npy", "000003.npy"]
    if damage:
        pieces[1].write_bytes(pieces[1].read_bytes()[: 0 if damage == "empty" else -8])
    extractor.seen = 0
    features = find(folder, extractor).features
    assert extractor.seen == (5 if damage else 2)
    np.testing.assert_array_equal(features, extractor([gigagan(picture(i)) for i in range(len(NAMES))]))
    assert kept_file(folder)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("resize", ["gigagan", "clean"])
def test_workers_give_clean_fids_features_bit_for_bit(folder, extractor, monkeypatch, packed, resize):
    picture(20, (610, 407)).save(folder / "photo.jpg", quality=90)
    monkeypatch.setattr(module, "PIECE", 4)
    found = find(pack(folder) if packed else folder, extractor, resize, workers=2)
    crop = (lambda array: np.asarray(gigagan(Image.fromarray(array)))) if resize == "gigagan" else None
    paths = [str(folder / name) for name in found.names]
    theirs = get_files_features(
        paths, extractor.network, 0, 2, torch.device("cpu"), verbose=False, custom_image_tranform=crop
    )
    np.testing.assert_array_equal(found.features, theirs)


def test_archives(folder, extractor):
    path = pack(folder, "mjhq30k_imgs/", {"__MACOSX/mjhq30k_imgs/art/._0.png": b"junk", "mjhq30k_imgs/a.txt": b"words"})
    packed = find(path, extractor)
    np.testing.assert_array_equal(packed.features, find(folder, extractor).features)
    assert packed.names == tuple(f"mjhq30k_imgs/{name}" for name in NAMES)
    assert not (folder.parent / "mjhq30k_imgs").exists(), "unpacked"
    content = bytearray(pack(folder).read_bytes())
    content[100] ^= 255
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"art/0\.png of .*real\.zip"):
        ImageFiles(path).read(NAMES[0])
    path.write_bytes(b"no archive")
    for bad, message in ((path, r"real\.zip is not a zip archive"), (folder / "nowhere", "no folder or archive")):
        with pytest.raises(ValueError, match=message):
            ImageFiles(bad)


def test_stems_find_their_pictures_and_files_of_clean_fid_are_read(folder, extractor, tmp_path):
    ours = find(folder, extractor)
    np.savez(tmp_path / "theirs.npz", mu=ours.stats.mean, sigma=ours.stats.cov)
    theirs = read_reference(tmp_path / "theirs.npz")
    assert theirs.features is None
    assert frechet_distance(theirs.stats, ours.stats) == pytest.approx(0, abs=1e-9)
    picture(9).save(folder / "art/special.png")
    files = ImageFiles(folder)
    assert files.by_stem(["special"]) == ["art/special.png"]
    (tmp_path / "other.npz").write_bytes(b"x")
    for call, message in (
        (lambda: read_reference(tmp_path / "other.npz"), r"cannot read the reference .*other\.npz"),
        (lambda: files.by_stem(["77", "special"]), r"lacks 1 of 2 pictures; the first is 77"),
        (lambda: files.by_stem(["0"]), r"art/0.png and food/0.png"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_killed_write_leaves_the_old_file(folder, extractor, monkeypatch):
    kept = find(folder, extractor)
    path = kept_file(folder)
    before = path.read_bytes()

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.np, "savez", fail)
    with pytest.raises(ValueError, match=r"cannot write the reference .*kept-.*\.npz: No space left"):
        write_reference(path, kept)
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1
