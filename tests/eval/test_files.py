"""The benchmarks' own files: what is read, and what is refused in a line that names the place."""

from __future__ import annotations

import pytest

from eval.files import read_csv, read_json, read_json_lines
from eval.result import read_answers


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
