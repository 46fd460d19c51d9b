"""The page in its forms, and the published numbers: whole tables, cells that everybody quotes, rows printed twice."""

import re

from PIL import Image

from eval.pages.page import Picture, Section, Table, Text, latex_table, write_page
from eval.pages.papers import as_printed, column_of, family_rows, published_tables
from eval.tasks import all_tasks

TABLES = {(table["paper"].split()[0], table["table"]): table for table in published_tables()}


def row(paper, table, name):
    found = TABLES[paper, table]
    (values,) = [dict(zip(found["columns"], line, strict=True)) for line in found["rows"] if line[0] == name]
    return values


def test_every_table_is_there_and_rectangular():
    wanted = {("JanusFlow", n) for n in (2, 3, 4, 5)} | {("Janus", n) for n in (2, 3, 4, 5)}
    assert set(TABLES) == wanted | {("Janus-Pro", n) for n in (3, 4, 5)}
    for table in TABLES.values():
        assert table["protocol"] and table["title"] and family_rows(table)
        assert {len(line) for line in table["rows"]} == {len(table["columns"])}


def test_quoted_numbers_and_rows_that_two_papers_print():
    for paper, table, name, column, value in (
        *(("JanusFlow", 2, "JanusFlow", *pair) for pair in (("GenEval", 0.63), ("DPG-Bench", 80.09))),
        ("JanusFlow", 3, "JanusFlow", "MJHQ FID-30k", 9.51),
        ("JanusFlow", 4, "JanusFlow", "MMB dev", 74.9),
        ("JanusFlow", 5, "F", "MJHQ FID-10k", 17.61),
        ("Janus", 3, "Janus", "overall", 0.61),
        ("Janus", 4, "Janus", "MJHQ-30K", 10.10),
        ("Janus", 5, "B", "COCO FID", 7.11),
        ("Janus-Pro", 3, "Janus-Pro-7B", "MMB", 79.2),
        *(("Janus-Pro", n, "Janus-Pro-7B", "overall", value) for n, value in ((4, 0.80), (5, 84.19))),
    ):
        assert row(paper, table, name)[column] == value
    for name in [line[0] for line in TABLES["Janus", 3]["rows"]]:
        first, second = row("Janus", 3, name), row("Janus-Pro", 4, name)
        assert {key: first[key] for key in second} == second
    janus, flow = row("Janus", 2, "Janus"), row("JanusFlow", 4, "Janus")
    assert list(janus.values())[1:] == list(flow.values())[1 : len(janus)]


def test_cells_are_printed_as_in_the_paper():
    table = TABLES["Janus-Pro", 4]
    last = as_printed(table, family_rows(table))[-1]
    assert last == ["Janus-Pro-7B", "0.99", "0.89", "0.59", "0.90", "0.79", "0.66", "0.80"]
    assert as_printed(TABLES["JanusFlow", 5], [TABLES["JanusFlow", 5]["rows"][3]])[0][-2:] == ["–", "–"]


def test_the_columns_of_tasks_are_those_of_published_tables():
    tables = published_tables()
    for task in all_tasks():
        for key in task.columns:
            assert any(column_of(table, key) for table in tables), (task.name, key)
    titles = [table["title"] for table in tables if column_of(table, "GenEval: overall")]  # named with its title
    assert titles == ["GenEval", "GenEval"]


def test_both_pages_hold_everything_and_html_stands_alone(tmp_path):
    Image.new("RGB", (4, 4), "red").save(tmp_path / "red.png")
    table = Table(["score", "a|b"], [["x < y", "0.5"]])
    sections = [
        Section("A & B", [Text("Said <b>once</b>.")], level=1),
        Section("More", [table, Picture(tmp_path / "red.png", "A red square")]),
    ]
    assert write_page(tmp_path, sections) == tmp_path / "report.md"
    lines = (tmp_path / "report.md").read_text().splitlines()
    assert lines[0] == "# A & B" and "Said <b>once</b>." in lines
    start = lines.index(r"| score | a\|b |")
    assert lines[start - 1 : start + 4] == ["", r"| score | a\|b |", "|---|---:|", "| x < y | 0.5 |", ""]
    assert "![A red square](red.png)" in lines
    html = (tmp_path / "report.html").read_text()
    assert "Said &lt;b&gt;once&lt;/b&gt;." in html and "<td>x &lt; y</td>" in html and "<h1>A &amp; B</h1>" in html
    assert re.findall(r'(?:src|href)="(.{22})', html) == ["data:image/png;base64,"]
    text = latex_table(Table(["a_b", "c"], [["5 %", r"x\y"]]), "R & D")
    assert r"a\_b & c \\" in text and r"5 \% & x\textbackslash{}y \\" in text and r"\caption{R \& D}" in text
