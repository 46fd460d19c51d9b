"""The page: the same content as Markdown and as one HTML file."""

import re

from PIL import Image

from eval.pages.page import Picture, Section, Table, Text, write_page


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
