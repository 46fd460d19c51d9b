"""The benchmarks' own files: what is read, and what is refused in a line that names the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.files import read_json, read_json_lines
from eval.result import read_answers
from eval.understanding.records import get_field, take


def written(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_text(text, encoding=encoding)
    return path


def test_a_key_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.json: it holds the key 'x' twice"):
        read_json(written(tmp_path, "a.json", '{"x": 1, "y": {}, "x": 1}'))
    with pytest.raises(ValueError, match=r"a\.jsonl, line 2: it holds the key 'y' twice"):
        read_json_lines(written(tmp_path, "a.jsonl", '{"x": 1}\n[{"y": 1, "y": 2}]'))
    with pytest.raises(ValueError, match="the key 'q1' twice"):
        read_answers(written(tmp_path, "answers.json", '{"q1": "yes", "q1": "no"}'))


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_nesting_without_end_is_refused(tmp_path, name):
    read = read_json if name == "a.json" else read_json_lines
    with pytest.raises(ValueError, match="nested too deeply"):
        read(written(tmp_path, name, "[" * 100_000))


def test_a_byte_order_mark_is_no_content(tmp_path):
    assert read_json(written(tmp_path, "a.json", '{"x": 1}', "utf-8-sig")) == {"x": 1}
    assert read_json_lines(written(tmp_path, "a.jsonl", '{"x": 1}', "utf-8-sig")) == [{"x": 1}]


def test_answers_in_a_list_are_told_the_form(tmp_path):
    with pytest.raises(ValueError, match=r'answers\.json must hold an object \{"id": "answer", …\}'):
        read_answers(written(tmp_path, "answers.json", '[{"question_id": 1, "answer": "yes"}]'))


@pytest.mark.parametrize("value", [True, float("nan"), [], {}])
def test_what_is_no_number_or_text_is_refused(value):
    with pytest.raises(ValueError, match="row 1 has an unusable 'label'"):
        take({"label": value}, "row 1", label=(str, int, float))
    with pytest.raises(ValueError, match="row 1 has an unusable 'label'"):
        get_field({"label": value}, "label", "row 1", str, int, float)
