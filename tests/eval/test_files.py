"""The benchmarks' own files: what is read, and what is refused in a line that names the place."""

from __future__ import annotations

import pytest

from eval.files import read_json, read_json_lines
from eval.result import read_answers


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"x": 1, "y": {}, "x": 1}', r"a\.json: it holds the key 'x' twice"),
        ("a.jsonl", '{"x": 1}\n[{"y": 1, "y": 2}]', r"a\.jsonl, line 2: it holds the key 'y' twice"),
        ("answers.json", '{"q1": "yes", "q1": "no"}', "the key 'q1' twice"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.jsonl", "[" * 100_000, "nested too deeply"),
        ("answers.json", '[{"question_id": 1, "answer": "yes"}]', r'answers\.json must hold an object \{"id"'),
    ],
)
def test_damaged_files_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    read = {"a.json": read_json, "a.jsonl": read_json_lines, "answers.json": read_answers}[name]
    with pytest.raises(ValueError, match=message):
        read(tmp_path / name)


def test_a_byte_order_mark_is_no_content(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"x": 1}', encoding="utf-8-sig")
    assert read_json(path) == {"x": 1} and read_json_lines(path) == [{"x": 1}]
