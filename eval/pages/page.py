"""A page of texts, tables and pictures, written as Markdown and as one HTML file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from jinja2 import Environment, PackageLoader, select_autoescape


@dataclass(frozen=True)
class Text:
    """A paragraph, without markup."""

    text: str
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Table:
    """A table, its first column on the left and the others on the right."""

    header: list[str]
    rows: list[list[str]]
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Picture:
    """A PNG file beside the page."""

    path: Path
    caption: str
    kind: ClassVar[str] = "picture"

    @property
    def data_uri(self) -> str:
        """The file's content as an address."""
        return "data:image/png;base64," + base64.b64encode(self.path.read_bytes()).decode()


Part = Text | Table | Picture


# Special characters, and those that pdfLaTeX has no letter for.
LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "…": r"\dots{}",
    "×": r"$\times$",
    "±": r"$\pm$",
    "α": r"$\alpha$",
    "Σ": r"$\Sigma$",
    "≤": r"$\leq$",
}


class Section(NamedTuple):
    """A heading of a level (1: the page's title) and what stands under it."""

    title: str
    parts: list[Part]
    level: int = 2


def markdown_table(table: Table) -> list[str]:
    """Its lines."""
    lines = [[text.replace("|", r"\|") for text in row] for row in (table.header, *table.rows)]
    header, *rows = [f"| {' | '.join(line)} |" for line in lines]
    return [header, "|---|" + "---:|" * (len(table.header) - 1), *rows]


def latex_table(table: Table, caption: str) -> str:
    """A table for LaTeX with the booktabs package."""
    columns = "l" + "r" * (len(table.header) - 1)
    header, *rows = [" & ".join(map(latex_text, row)) + r" \\" for row in (table.header, *table.rows)]
    lines = [r"\begin{table}", r"  \centering", rf"  \begin{{tabular}}{{{columns}}}", r"    \toprule", f"    {header}"]
    lines += [r"    \midrule", *(f"    {row}" for row in rows), r"    \bottomrule", r"  \end{tabular}"]
    return "\n".join([*lines, rf"  \caption{{{latex_text(caption)}}}", r"\end{table}"])


def latex_text(text: str) -> str:
    """Plain text with LaTeX's special characters escaped."""
    return "".join(LATEX.get(character, character) for character in text)


def write_page(folder: Path, sections: Sequence[Section]) -> Path:
    """Write ``report.md`` and ``report.html``, which holds its pictures; returns the first one's path."""
    environment = Environment(
        loader=PackageLoader("eval.pages", "."),
        autoescape=select_autoescape(("html.j2",)),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["markdown"] = markdown_table
    for name, template in (("report.md", "page.md.j2"), ("report.html", "page.html.j2")):
        text = environment.get_template(template).render(sections=sections)
        (folder / name).write_text(text.strip() + "\n", encoding="utf-8")
    return folder / "report.md"
