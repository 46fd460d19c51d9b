"""Finished items on disk: torn ends, shards, features, a second process."""

import numpy as np
import pytest

from eval.files import read_json
from eval.store import WHOLE, Entry, Shard, Store, read_stage, write_json


def row(value: float) -> np.ndarray:
    return np.full(3, value, np.float32)


def write(folder, shard=WHOLE, stage="judged", limit=None, **entries):
    """Store the entries; the store, closed."""
    with Store(folder, stage, shard, limit) as store:
        store.add(entries)
    return store


def test_what_is_added_is_read_back_the_latest_line_of_an_item(tmp_path):
    with Store(tmp_path, "judged", WHOLE) as store:
        store.add({"a": Entry({"correct": True}, row(1)), "b": Entry({"problem": "missing"})})
        store.add({"c": Entry({"text": "ein Stück\u2028in zwei Zeilen \ud800 😀"}, row(3))})
    found = read_stage(tmp_path, "judged")
    assert {name: entry.record for name, entry in found.items()} == {
        **{"a": {"correct": True}, "b": {"problem": "missing"}},
        "c": {"text": "ein Stück\u2028in zwei Zeilen \ud800 😀"},
    }
    features = [None if entry.features is None else entry.features.tolist() for entry in found.values()]
    assert features == [[1, 1, 1], None, [3, 3, 3]]
    assert write(tmp_path, b=Entry({"n": 2}, row(2))).entries["b"].record == {"n": 2}
    found = read_stage(tmp_path, "judged")
    assert found["b"].features.tolist() == [2, 2, 2] and found["a"].features.tolist() == [1, 1, 1]


@pytest.mark.parametrize("torn", [1, 10, 25])
def test_a_line_that_a_kill_tore_is_cut_off_and_its_item_not_done(tmp_path, torn: int):
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
    with store.rows_path.open("ab") as file:
        file.write(row(9).tobytes() + b"\0\0")  # killed between the row and its line, in the middle of the next row
    write(tmp_path, c=Entry({"n": 3}, row(3)))
    assert read_stage(tmp_path, "judged")["c"].features.tolist() == [3, 3, 3]


def test_shards_write_apart_and_are_read_together_the_latest_line_first(tmp_path):
    for index in range(2):
        write(tmp_path, Shard(index, 2), **{f"item {index}": Entry({"n": index}, row(index))})
    write(tmp_path, WHOLE, **{"item 1": Entry({"n": 5}, row(1))})  # judged-0-of-1 stands in front of judged-1-of-2
    found = read_stage(tmp_path, "judged")
    assert {name: (entry.record["n"], entry.features[0]) for name, entry in found.items()} == {
        **{"item 0": (0, 0.0), "item 1": (5, 1.0)},
    }


def test_features_that_are_gone_or_a_damaged_line_are_an_error_that_names_it(tmp_path):
    store = write(tmp_path, a=Entry({"n": 1}, row(1)), b=Entry({"n": 2}, row(2)))

    def fails(message):
        for attempt in (lambda: read_stage(tmp_path, "judged"), Store(tmp_path, "judged", WHOLE).__enter__):
            with pytest.raises(ValueError, match=message):
                attempt()

    for left in (12, 0):
        store.rows_path.write_bytes(store.rows_path.read_bytes()[:left])
        fails(r"judged-0-of-1\.f32 is shorter than judged-0-of-1\.jsonl says")
    for bad in ("5", "[0]", '["a", 3]', "[-1, 3]", "[0, 0]", "nonsense"):
        store.path.write_text(f'{{"id": "b", "time": 1}}\n{{"id": "a", "time": 1, "row": {bad}}}\n')
        fails(r"judged-0-of-1\.jsonl, line 2 is damaged")


def test_a_shard_belongs_to_one_process_at_a_time_and_what_is_none_is_refused(tmp_path):
    with Store(tmp_path, "judged", WHOLE):
        with pytest.raises(ValueError, match="another process is writing"), Store(tmp_path, "judged", WHOLE):
            pass
        with Store(tmp_path, "judged", Shard(1, 2)):
            pass
    with Store(tmp_path, "judged", WHOLE):
        pass
    assert Shard.parse("3/8") == Shard(3, 8) and str(Shard(3, 8)) == "3-of-8"
    for text in ("4/4", "1", "-1/2", "a/b", "1/0", "1/2/3", ""):
        with pytest.raises(ValueError, match="from 0 to N-1"):
            Shard.parse(text)


def test_json_is_written_whole_or_not_at_all(tmp_path):
    write_json(tmp_path / "b.json", {"half": "\ud800"})
    assert read_json(tmp_path / "b.json") == {"half": "\ud800"}
    write_json(tmp_path / "a.json", {"n": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"n": object()})
    assert (tmp_path / "a.json").read_text() == '{\n "n": 1\n}\n'
    with pytest.raises(ValueError, match="cannot write"):
        write_json(tmp_path / "a.json" / "b.json", {})


def test_items_of_another_limit_are_not_there(tmp_path):
    for limit, name in ((None, "a"), (3, "b"), (5, "c")):
        assert list(write(tmp_path, limit=limit, **{name: Entry({"n": 1})}).entries)[-1] == name
    assert list(read_stage(tmp_path, "judged")) == ["a"]
    assert list(read_stage(tmp_path, "judged", 3)) == ["a", "b"]
    assert read_stage(tmp_path, "judged", 5)["c"].record == {"n": 1}
