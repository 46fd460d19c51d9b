"""Whose comparison a folder holds."""

import json
import os

import pytest

from eval.compare.contestants import RECORD, Contestant, claim_folder


def test_paths_of_one_folder_are_one_model(tmp_path, monkeypatch):
    (tmp_path / "runs" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for path in ("runs/a", str(tmp_path / "runs" / "a"), "./runs/../runs/a"):
        claim_folder(tmp_path / "out", [Contestant("a", (path, "hub/name"))])
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert record == {"a": [os.path.realpath(tmp_path / "runs" / "a"), "hub/name"]}
    with pytest.raises(ValueError, match="another comparison, of a: "):
        claim_folder(tmp_path / "out", [Contestant("a", ("runs", "hub/name"))])


@pytest.mark.parametrize("damage", ["", '{"a": ', "[1]"])
def test_a_damaged_record_is_named(tmp_path, damage):
    (tmp_path / RECORD).write_text(damage)
    with pytest.raises(ValueError, match=str(tmp_path / RECORD)):
        claim_folder(tmp_path, [Contestant("a", ("runs/a",))])
