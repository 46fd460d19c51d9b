"""``python -m eval report`` from result files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from eval.__main__ import main
from eval.pages.page import Table, latex_table
from eval.pages.papers import column_of, published_tables
from eval.pages.report import cell, draw_samples, find_results, overview_table, papers_tables, protocol_text
from eval.result import read_result, show
from eval.tasks import all_tasks


def write_result(folder: Path, **changes: object) -> Path:
    """A result of GenEval with four pictures."""
    items = [
        {"id": f"{prompt}-{seed}", "prompt": prompt, "path": f"{prompt}-{seed}.png", "verdict": {}}
        for prompt in ("a bench", "two dogs")
        for seed in range(2)
    ]
    for item in items:
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (96, 96), "red").save(folder / "pictures" / item["path"])
    content = {
        "task": "geneval",
        "title": "GenEval (HF detector)",
        "headline": "overall",
        "overview": ["overall"],
        "complete": True,
        "scores": {"overall": 0.613, "counting": None},
        "columns": {"GenEval": "overall"},
        "problems": {},
        "protocol": {"prompts": "0123456789ab", "judge": {"detector": "Mask2Former"}, "limit": None},
        "provenance": {
            "model": None,
            "drawn_by": None,
            "images": None,
            "libraries": {"torch": "2.0"},
            "machine": "a laptop",
        },
        "details": {},
        "items": items,
        **changes,
    }
    (folder / "result.json").write_text(json.dumps(content))
    return folder


def test_the_page_holds_scores_pictures_and_the_papers_rows(tmp_path, capsys):
    write_result(tmp_path / "mine" / "geneval")
    assert main(["report", str(tmp_path / "mine"), "--out", str(tmp_path / "out"), "--title", "Mine"]) == 0
    assert "| GenEval (HF detector): overall | 0.613 |" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.md").read_text()
    assert page.startswith("# Mine\n") and "| counting | – |" in page
    assert "| JanusFlow | 0.63 |" in page and "| mine (here) | 0.613 |" in page
    picture = "mine-GenEval-HF-detector-overall.png"
    assert f"]({picture})" in page
    Image.open(tmp_path / "out" / picture).verify()
    assert "data:image/png;base64," in (tmp_path / "out" / "report.html").read_text()
    assert r"mine (here) & 0.613 \\" in (tmp_path / "out" / "report.tex").read_text()


def test_an_incomplete_score_is_marked_everywhere(tmp_path):
    write_result(tmp_path / "mine", complete=False, problems={"missing": ["a bench-0: there is no file"]})
    found = find_results([f"mine={tmp_path / 'mine'}"])
    assert overview_table(found).rows == [["GenEval (HF detector): overall", "0.613*"]]
    assert all(table.rows[-1][-1] == "0.613*" for _, _, table in papers_tables(found))
    main(["report", f"mine={tmp_path / 'mine'}", "--out", str(tmp_path / "out")])
    page = (tmp_path / "out" / "report.md").read_text()
    assert "* incomplete:" in page and "missing (1): a bench-0: there is no file" in page


def test_models_stand_side_by_side(tmp_path):
    write_result(tmp_path / "a" / "geneval")
    write_result(tmp_path / "b" / "geneval", scores={"overall": 0.5})
    write_result(tmp_path / "b" / "pope", task="pope", title="POPE", columns={}, scores={"overall": 88.0})
    found = find_results([str(tmp_path / "a"), f"other={tmp_path / 'b'}"])
    assert overview_table(found) == Table(
        ["score", "a", "other"],
        [["GenEval (HF detector): overall", "0.613", "0.500"], ["POPE: overall", "", "88.00"]],
    )


def test_the_columns_of_tasks_are_those_of_published_tables():
    tables = published_tables()
    for task in all_tasks():
        for key in task.columns:
            assert any(column_of(table, key) for table in tables), (task.name, key)


def test_a_column_of_several_tables_is_named_with_its_title():
    titles = [table["title"] for table in published_tables() if column_of(table, "GenEval: overall")]
    assert titles == ["GenEval", "GenEval"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["empty"], "holds no result.json"),
        (["none"], "holds no result.json"),
        (["full", "full"], "two models are called full"),
        (["=full"], "no name in '=full'"),
        (["twice"], "two results of GenEval (HF detector)"),
        (["m" * 300], "too long"),
        (["full", "--out", "full/geneval/result.json"], "cannot write to "),
    ],
)
def test_folders_that_cannot_be_reported_are_one_line(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for folder in ("full/geneval", "twice/first", "twice/second"):
        write_result(tmp_path / folder)
    assert main(["report", "--out", "out", *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("folder", ["m", "./m", "m/", "./m/"])
def test_a_model_has_the_name_that_it_is_given(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    write_result(tmp_path / "m" / "geneval")
    assert list(find_results([f"mine={folder}", folder])) == ["mine", "m"]
    (tmp_path / "a=b").mkdir()
    write_result(tmp_path / "a=b" / "geneval")
    assert list(find_results(["a=b/"])) == ["a=b"], "a folder's own name"


MODEL = {"checkpoint": "0123", "resolution": 96, "dtype": "float32"}


@pytest.mark.parametrize("content", ["{}", "[]", '{"title": "x", "headline": "y"}', '{"a": 1, "a": 2}', "[" * 100_000])
def test_what_is_no_result_is_one_line(tmp_path, capsys, content):
    (tmp_path / "result.json").write_text(content)
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "result.json") in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"scores": {"overall": "0.6"}}, "scores.overall"),
        ({"scores": {"overall": True}}, "scores.overall"),
        ({"overview": [["overall"]]}, "overview.0"),
        ({"columns": {"GenEval": ["overall"]}}, "columns.GenEval"),
        ({"problems": {"missing": [3]}}, "problems.missing.0"),
        ({"problems": {"missing": "a bench"}}, "problems.missing"),
        ({"protocol": {}}, "protocol.judge"),
        ({"protocol": {"judge": "a human"}}, "protocol.judge"),
        ({"provenance": {}}, "provenance.model"),
        ({"items": [3]}, "items.0"),
        ({"items": [{}, {"verdict": {}, "prompt": "a dog"}]}, "items.1.path"),
        ({"items": [{"verdict": {}, "path": "a.png", "prompt": []}]}, "items.0.prompt"),
        *(({"provenance.model": {**MODEL, name: None}}, f"provenance.model.{name}") for name in MODEL),
        ({"provenance.drawn_by": {"checkpoint": "0123"}}, "provenance.drawn_by.resolution"),
        ({"provenance.model": "ours"}, "provenance.model"),
        ({"provenance.images": 3}, "provenance.images"),
        ({"provenance.machine": None}, "provenance.machine"),
    ],
)
def test_a_part_that_pages_cannot_read_is_named(tmp_path, changes, wrong):
    path = write_result(tmp_path / "m") / "result.json"
    content = json.loads(path.read_text())
    for name, value in changes.items():
        part, _, key = name.partition(".")
        content[part] = {**content[part], key: value} if key else value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"{path} is no result .* it has no {re.escape(wrong)},"):
        read_result(path)


def test_a_model_of_few_words_and_a_damaged_picture_are_shown(tmp_path):
    path = write_result(tmp_path / "m") / "result.json"
    content = json.loads(path.read_text())
    content["provenance"]["model"] = {**MODEL, "sampling_text": None}
    path.write_text(json.dumps(content))
    (tmp_path / "m" / "pictures" / "a bench-0.png").write_bytes(b"\x89PNG")
    assert main(["report", str(tmp_path / "m"), "--out", str(tmp_path / "out")]) == 0
    assert "96 px, float32" in (tmp_path / "out" / "report.md").read_text()


def test_a_sweeps_points_are_no_results_of_their_own(tmp_path):
    write_result(tmp_path / "m" / "geneval")
    write_result(tmp_path / "m" / "geneval-sweep" / "guidance=1")
    (tmp_path / "m" / "geneval-sweep" / "sweep.json").write_text("{}")
    assert len(find_results([str(tmp_path / "m")])["m"]) == 1
    assert len(find_results([str(tmp_path / "m" / "geneval-sweep")])["geneval-sweep"]) == 1


def test_results_of_one_benchmark_with_other_main_scores_stand_apart(tmp_path):
    for folder, name, value in (("a", "MJHQ FID-30k", 9.5), ("b", "MJHQ FID-10k", 11.25)):
        changed = {"title": "MJHQ-30K", "headline": name, "overview": [name], "scores": {name: value}}
        write_result(tmp_path / "m" / folder, **changed)
    rows = overview_table(find_results([str(tmp_path / "m")])).rows
    assert rows == [["MJHQ-30K: MJHQ FID-30k", "9.500"], ["MJHQ-30K: MJHQ FID-10k", "11.25"]]


def test_small_scores_keep_their_digits():
    assert [show(value) for value in (0.00041, -0.0003, 0.0123, 0.613, 9.51, 80.09, 1333.1)] == [
        *("0.00041", "-0.0003", "0.012", "0.613", "9.510", "80.09", "1333.1"),
    ]


def test_samples_are_a_row_a_prompt(tmp_path):
    (found,) = find_results([str(write_result(tmp_path / "mine"))])["mine"]
    sheet = draw_samples(found)
    assert sheet is not None and sheet.width < 230 and sheet.height > 200  # two rows of two
    assert "2 items" not in protocol_text(found.result) and "4 items" in protocol_text(found.result)
    assert cell(found.result, "counting") == "–"


def test_latex_escapes_what_is_special():
    text = latex_table(Table(["a_b", "c"], [["5 %", r"x\y"]]), "R & D")
    assert r"a\_b & c \\" in text and r"5 \% & x\textbackslash{}y \\" in text and r"\caption{R \& D}" in text
