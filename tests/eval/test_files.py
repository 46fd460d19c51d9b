"""The benchmarks' own files: what is read, and what is refused in a line that names the place; subsets of them."""

import pytest

from eval.files import read_csv, read_json, read_json_lines
from eval.result import read_answers
from eval.subsets import choose, evenly, list_hash


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"x": 1, "y": {}, "x": 1}', r"a\.json: it holds the key 'x' twice"),
        ("a.jsonl", '{"x": 1}\n[{"y": 1, "y": 2}]', r"a\.jsonl, line 2: it holds the key 'y' twice"),
        ("answers.json", '{"q1": "yes", "q1": "no"}', "the key 'q1' twice"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.jsonl", "[" * 100_000, "nested too deeply"),
        ("a.tsv", "", "no column names"),
        ("a.tsv", "a\ta\n", "one twice"),
        ("a.tsv", "a\tb\n1\n", "line 2 has 1 cells for 2 columns"),
        ("a.tsv", 'a\tb\n1\t"open\n2\t3\n', "cannot read"),
        ("a.tsv", "a\tb\n\xff\t1\n", r"cannot read .*a\.tsv"),
        ("a.tsv", "a\tb\n", "holds no rows"),
        ("answers.json", '[{"question_id": 1, "answer": "yes"}]', r'answers\.json must hold an object \{"id"'),
    ],
)
def test_damaged_files_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text, encoding="latin-1")
    readers = {"a.json": read_json, "a.jsonl": read_json_lines, "answers.json": read_answers}
    read = readers.get(name, lambda path: read_csv(path, "\t"))
    with pytest.raises(ValueError, match=message):
        read(tmp_path / name)


def test_a_byte_order_mark_is_no_content(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"x": 1}', encoding="utf-8-sig")
    assert read_json(path) == {"x": 1} and read_json_lines(path) == [{"x": 1}]


# --- lists of some items that stay the same for good ---


def test_the_10k_list_is_fixed():
    """The very list: another NumPy, another machine or another release must choose the same prompts."""
    ids = [f"{index:05d}" for index in range(30_000)]
    chosen = choose(ids, 10_000, seed=0)
    assert len(set(chosen)) == 10_000 and chosen == sorted(chosen)
    assert list_hash(chosen) == "b72379e56116"
    assert list_hash(choose(ids, 10_000, seed=1)) != list_hash(chosen)
    assert set(choose(ids, 1_000, seed=0)) < set(chosen)


def test_all_are_all_whatever_the_seed_and_more_are_refused():
    assert choose("abc", None, 5) == choose("abc", 3, 5) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="cannot choose 4 of 3"):
        choose("abc", 4, 0)
    with pytest.raises(ValueError, match=r"seed of a choice .* got -1"):
        choose("abc", 2, -1)


def test_a_limit_takes_evenly_from_all_groups_and_keeps_units_together():
    items = [unit + part for unit in ("a1", "a2", "a3", "a4", "b1", "b2", "c1") for part in "xy"]
    limits = (1, 2, 6, 7, 8, 10, 14, 99, None)
    lists = {limit: evenly(items, limit, lambda item: (item[0], item[1])) for limit in limits}
    assert lists[6] == ["a1x", "a1y", "b1x", "b1y", "c1x", "c1y"]
    assert lists[10] == ["a1x", "a1y", "a2x", "a2y", "b1x", "b1y", "b2x", "b2y", "c1x", "c1y"]
    assert lists[7] == ["a1x", "a1y", "a2x", "b1x", "b1y", "c1x", "c1y"]
    assert lists[14] == lists[99] == lists[None] == items
    for fewer, more in zip(list(lists.values()), list(lists.values())[1:], strict=False):
        assert set(fewer) <= set(more) and more == [item for item in items if item in more]
