"""Finished items on disk: torn ends, shards, features, a second process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eval.files import read_json
from eval.store import WHOLE, Entry, Shard, Store, read_stage, write_json


def row(value: float) -> np.ndarray:
    return np.full(3, value, np.float32)


def test_what_is_added_is_read_back(tmp_path: Path) -> None:
    with Store(tmp_path, "judged", WHOLE) as store:
        store.add({"a": Entry({"correct": True}, row(1)), "b": Entry({"problem": "missing"})})
        store.add({"c": Entry({"text": "ein Stück\u2028in zwei Zeilen"}, row(3))})
    found = read_stage(tmp_path, "judged")
    assert {name: entry.record for name, entry in found.items()} == {
        "a": {"correct": True},
        "b": {"problem": "missing"},
        "c": {"text": "ein Stück\u2028in zwei Zeilen"},
    }
    assert [None if entry.features is None else entry.features.tolist() for entry in found.values()] == [
        [1, 1, 1],
        None,
        [3, 3, 3],
    ]


def test_a_later_line_of_an_item_takes_the_place_of_the_first(tmp_path: Path) -> None:
    with Store(tmp_path, "judged", WHOLE) as store:
        store.add({"a": Entry({"problem": "unreadable"}), "b": Entry({"n": 1}, row(1))})
    with Store(tmp_path, "judged", WHOLE) as store:
        store.add({"a": Entry({"n": 2}, row(2))})
        assert store.entries["a"].record == {"n": 2}
    found = read_stage(tmp_path, "judged")
    assert found["a"].record == {"n": 2} and found["a"].features.tolist() == [2, 2, 2]
    assert found["b"].features.tolist() == [1, 1, 1]


@pytest.mark.parametrize("torn", [1, 10, 25])
def test_a_line_that_a_kill_tore_is_cut_off_and_its_item_not_done(tmp_path: Path, torn: int) -> None:
    with Store(tmp_path, "judged", WHOLE) as store:
        store.add({"a": Entry({"n": 1}, row(1))})
        whole = store.path.stat().st_size
        store.add({"b": Entry({"n": 2}, row(2))})
    content = store.path.read_bytes()
    store.path.write_bytes(content[: whole + torn])
    assert list(read_stage(tmp_path, "judged")) == ["a"]
    with Store(tmp_path, "judged", WHOLE) as store:
        assert list(store.entries) == ["a"]
        store.add({"b": Entry({"n": 2}, row(2))})
    found = read_stage(tmp_path, "judged")
    assert [entry.record for entry in found.values()] == [{"n": 1}, {"n": 2}]
    assert found["b"].features.tolist() == [2, 2, 2]
    assert len(store.path.read_bytes()) == pytest.approx(len(content), abs=2) and store.rows_path.stat().st_size == 24


def test_rows_without_their_line_are_cut_off(tmp_path: Path) -> None:
    with Store(tmp_path, "judged", WHOLE) as store:
        store.add({"a": Entry({"n": 1}, row(1))})
    with store.rows_path.open("ab") as file:
        file.write(row(9).tobytes() + b"\0\0")  # killed between the row and its line, in the middle of the next row
    with Store(tmp_path, "judged", WHOLE) as store:
        store.add({"b": Entry({"n": 2}, row(2))})
    assert read_stage(tmp_path, "judged")["b"].features.tolist() == [2, 2, 2]


def test_shards_write_apart_and_are_read_together(tmp_path: Path) -> None:
    for index in range(2):
        with Store(tmp_path, "judged", Shard(index, 2)) as store:
            store.add({f"item {index}": Entry({"n": index}, row(index))})
    found = read_stage(tmp_path, "judged")
    assert {name: (entry.record["n"], entry.features[0]) for name, entry in found.items()} == {
        "item 0": (0, 0.0),
        "item 1": (1, 1.0),
    }


def test_the_latest_line_of_an_item_counts_whichever_shard_wrote_it(tmp_path: Path) -> None:
    with Store(tmp_path, "judged", Shard(0, 2)) as store:
        store.add({"a": Entry({"problem": "unreadable"})})
    with Store(tmp_path, "judged", WHOLE) as store:  # judged-0-of-1 stands in front of judged-0-of-2
        store.add({"a": Entry({"n": 1})})
    assert read_stage(tmp_path, "judged")["a"].record == {"n": 1}


@pytest.mark.parametrize("left", [0, 12])
def test_features_that_are_gone_are_an_error_and_never_zeros(tmp_path: Path, left: int) -> None:
    with Store(tmp_path, "judged", WHOLE) as store:
        store.add({"a": Entry({"n": 1}, row(1)), "b": Entry({"n": 2}, row(2))})
    store.rows_path.write_bytes(store.rows_path.read_bytes()[:left])
    for attempt in (lambda: read_stage(tmp_path, "judged"), Store(tmp_path, "judged", WHOLE).__enter__):
        with pytest.raises(ValueError, match=r"judged-0-of-1\.f32 is shorter than judged-0-of-1\.jsonl says"):
            attempt()


def test_a_shard_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    with Store(tmp_path, "judged", WHOLE):
        with pytest.raises(ValueError, match="another process is writing"), Store(tmp_path, "judged", WHOLE):
            pass
        with Store(tmp_path, "judged", Shard(1, 2)):
            pass
    with Store(tmp_path, "judged", WHOLE):
        pass


def test_half_a_character_is_kept(tmp_path: Path) -> None:
    record = {"answer": "half \ud800 and whole 😀"}
    with Store(tmp_path, "answers", WHOLE) as store:
        store.add({"a": Entry(record)})
    assert read_stage(tmp_path, "answers")["a"].record == record
    write_json(tmp_path / "result.json", record)
    assert read_json(tmp_path / "result.json") == record


@pytest.mark.parametrize("row", ["5", "[0]", '["a", 3]', "[-1, 3]", "[0, 0]", "nonsense"])
def test_a_damaged_line_is_named(tmp_path: Path, row: str) -> None:
    (tmp_path / "judged-0-of-1.jsonl").write_text(f'{{"id": "b", "time": 1}}\n{{"id": "a", "time": 1, "row": {row}}}\n')
    for attempt in (lambda: read_stage(tmp_path, "judged"), Store(tmp_path, "judged", WHOLE).__enter__):
        with pytest.raises(ValueError, match=r"judged-0-of-1\.jsonl, line 2 is damaged"):
            attempt()


@pytest.mark.parametrize("text", ["4/4", "1", "-1/2", "a/b", "1/0", "1/2/3", ""])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    assert Shard.parse("3/8") == Shard(3, 8) and str(Shard(3, 8)) == "3-of-8"
    with pytest.raises(ValueError, match="from 0 to N-1"):
        Shard.parse(text)


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"n": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"n": object()})
    assert (tmp_path / "a.json").read_text() == '{\n "n": 1\n}\n'
    with pytest.raises(ValueError, match="cannot write"):
        write_json(tmp_path / "a.json" / "b.json", {})


def test_items_of_another_limit_are_not_there(tmp_path):
    for limit, name in ((None, "a"), (3, "b"), (5, "c")):
        with Store(tmp_path, "judged", WHOLE, limit) as store:
            assert name not in store.entries
            store.add({name: Entry({"n": 1})})
    assert list(read_stage(tmp_path, "judged")) == ["a"]
    assert list(read_stage(tmp_path, "judged", 3)) == ["a", "b"]
    assert read_stage(tmp_path, "judged", 5)["c"].record == {"n": 1}
