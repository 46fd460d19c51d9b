"""GenEval's folders, written and read."""

from __future__ import annotations

import json

import pytest

from eval.geneval.layout import find_samples, index_of, sample_id, sample_path, write_metadata
from eval.task import Drawing

PROMPTS = [
    {"tag": "single_object", "include": [{"class": name, "count": 1}], "prompt": f"a photo of a {name}"}
    for name in ("dog", "cat", "bus")
]
DRAWINGS = [Drawing(sample_id(i, k), PROMPTS[i]["prompt"], (k,), sample_path(i, k)) for i in range(3) for k in range(4)]


@pytest.fixture
def folder(tmp_path):
    """A complete folder."""
    write_metadata(tmp_path, PROMPTS, range(3))
    for drawing in DRAWINGS:
        (tmp_path / drawing.path).write_bytes(b"")
    return tmp_path


METADATA = "00002/metadata.jsonl"
MORE = json.dumps({"extra": 1, "exclude": [], **dict(reversed(PROMPTS[2].items()))})  # in another order


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        (lambda folder: None, {}),
        (lambda folder: (folder / "00001").rename(folder.parent / "away"),
         {"missing": [f"00001/{k}" for k in range(4)]}),
        (lambda folder: (folder / sample_path(1, 2)).unlink(), {"missing": ["00001/2"]}),
        (lambda folder: (folder / sample_path(1, 4)).touch(), {"unexpected": ["00001/samples/00004.png"]}),
        (lambda folder: (folder / "00001/samples/0.png").touch(), {"unexpected": ["00001/samples/0.png"]}),
        (lambda folder: (folder / "00000/samples/grid.png").touch(), {"unexpected": ["00000/samples/grid.png"]}),
        (lambda folder: [(folder / name).mkdir() for name in ("00003", "notes")], {"unexpected": ["00003", "notes"]}),
        (lambda folder: (folder / METADATA).write_text(json.dumps(PROMPTS[0])), {"contradiction": [METADATA]}),
        (lambda folder: (folder / METADATA).write_text(MORE), {}),
        (lambda folder: (folder / METADATA).unlink(), {"missing": [METADATA]}),
        (lambda folder: (folder / METADATA).write_text("{"), {"damaged": [METADATA]}),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_folder_is_named_and_all_stays_wanted(folder, change, problems):
    change(folder)
    assert find_samples(folder, PROMPTS, DRAWINGS) == (DRAWINGS, problems)


def test_paths_numbers_and_limits(folder):
    assert sample_path(7, 2) == "00007/samples/00002.png" and index_of(sample_id(552, 3)) == 552
    text = (folder / "00001" / "metadata.jsonl").read_text()
    assert text.endswith("\n") and json.loads(text) == PROMPTS[1]
    assert find_samples(folder, PROMPTS, DRAWINGS[:4]) == (DRAWINGS[:4], {}), "folders beyond a limit are expected"
    for number in (3, 2, 1, 0):  # pictures numbered in another way are taken in order
        (folder / sample_path(1, number)).rename(folder / f"00001/samples/{number + 1}.png")
    drawings, problems = find_samples(folder, PROMPTS, DRAWINGS)
    assert not problems
    assert [drawing.path for drawing in drawings[4:8]] == [f"00001/samples/{number}.png" for number in (1, 2, 3, 4)]
