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


def test_paths_have_five_digits():
    assert sample_path(7, 2) == "00007/samples/00002.png"
    assert index_of(sample_id(552, 3)) == 552


def test_metadata_is_one_json_line_beside_the_samples(folder):
    text = (folder / "00001" / "metadata.jsonl").read_text()
    assert text.endswith("\n") and json.loads(text) == PROMPTS[1]


def test_complete_folder_has_no_problems(folder):
    assert find_samples(folder, PROMPTS, DRAWINGS) == (DRAWINGS, {})


def test_missing_prompt_folder_is_named_and_stays_wanted(folder):
    (folder / "00001").rename(folder.parent / "away")
    drawings, problems = find_samples(folder, PROMPTS, DRAWINGS)
    assert drawings == DRAWINGS
    assert problems == {"missing": [f"00001/{number}" for number in range(4)]}


def test_missing_picture_is_named_by_its_own_number(folder):
    (folder / sample_path(1, 2)).unlink()
    drawings, problems = find_samples(folder, PROMPTS, DRAWINGS)
    assert drawings == DRAWINGS
    assert problems == {"missing": ["00001/2"]}


def test_more_than_four_pictures_are_unexpected(folder):
    (folder / sample_path(1, 4)).write_bytes(b"")
    drawings, problems = find_samples(folder, PROMPTS, DRAWINGS)
    assert drawings == DRAWINGS
    assert problems == {"unexpected": ["00001/samples/00004.png"]}


def test_pictures_numbered_in_another_way_are_taken_in_order(folder):
    samples = folder / "00001" / "samples"
    for number in (3, 2, 1, 0):
        (samples / f"{number:05}.png").rename(samples / f"{number + 1}.png")
    drawings, problems = find_samples(folder, PROMPTS, DRAWINGS)
    assert not problems
    assert [drawing.path for drawing in drawings[4:8]] == [f"00001/samples/{number}.png" for number in (1, 2, 3, 4)]


def test_two_files_of_one_number_are_not_both_scored(folder):
    (folder / "00001/samples/0.png").write_bytes(b"")
    _, problems = find_samples(folder, PROMPTS, DRAWINGS)
    assert problems == {"unexpected": ["00001/samples/0.png"]}


def test_folders_and_files_that_belong_to_no_prompt_are_unexpected(folder):
    for name in ("00003", "notes"):
        (folder / name).mkdir()
    (folder / "00000/samples/grid.png").write_bytes(b"")
    _, problems = find_samples(folder, PROMPTS, DRAWINGS)
    assert problems == {"unexpected": ["00003", "notes", "00000/samples/grid.png"]}


def test_folders_beyond_a_limit_are_not_unexpected(folder):
    assert find_samples(folder, PROMPTS, DRAWINGS[:4]) == (DRAWINGS[:4], {})


def test_metadata_of_another_prompt_is_a_contradiction(folder):
    (folder / "00002/metadata.jsonl").write_text(json.dumps(PROMPTS[0]))
    assert find_samples(folder, PROMPTS, DRAWINGS)[1] == {"contradiction": ["00002/metadata.jsonl"]}


def test_metadata_may_say_more_and_in_another_order(folder):
    metadata = {"extra": 1, "exclude": [], **dict(reversed(PROMPTS[2].items()))}
    (folder / "00002/metadata.jsonl").write_text(json.dumps(metadata))
    assert find_samples(folder, PROMPTS, DRAWINGS)[1] == {}


def test_missing_and_damaged_metadata_are_named(folder):
    (folder / "00000/metadata.jsonl").unlink()
    (folder / "00001/metadata.jsonl").write_text("{")
    problems = find_samples(folder, PROMPTS, DRAWINGS)[1]
    assert problems == {"missing": ["00000/metadata.jsonl"], "damaged": ["00001/metadata.jsonl"]}


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        find_samples(tmp_path / "none", PROMPTS, DRAWINGS)
