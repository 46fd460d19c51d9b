"""All results of one model or several on a page: Markdown, HTML and LaTeX, beside the papers' published rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from eval.pages.page import Part, Picture, Section, Table, Text, latex_table, write_page
from eval.pages.papers import as_printed, column_of, family_rows, published_tables
from eval.pages.sweep import SWEEP
from eval.result import RESULT, Result, codec_line, problem_lines, read_result, show
from eval.store import PICTURES
from janusflow.command_line import make_folder
from janusflow.pictures import grid, read_image

SHOWN_PROMPTS = 6
SHOWN_PICTURES = 4  # of a prompt
MARK = "*"  # of an incomplete score
INCOMPLETE = (
    f"{MARK} incomplete: only a part of the benchmark, or items that are missing, unreadable or unanswered; what is "
    "wrong stands under the task."
)
NOT_ALL_ALIKE = "Published numbers are of other models, and other protocols unless a table says the same."


class Found(NamedTuple):
    """A model's result, and its folder."""

    folder: Path
    result: Result


Results = Mapping[str, Sequence[Found]]  # model -> results, one a task


def find_results(texts: Sequence[str]) -> dict[str, list[Found]]:
    """``[NAME=]FOLDER`` each: the results in it and below it; without a name, the folder's own.

    Raises ``ValueError`` for a folder without results, a name that stands twice, and two results of one task.
    """
    found: dict[str, list[Found]] = {}
    for text in texts:
        name, named, rest = text.partition("=")
        if not named or Path(text).exists():
            name, rest = Path(text).resolve().name, text
        if not name:
            raise ValueError(f"there is no name in {text!r}: a model is called as in first=FOLDER")
        path = Path(rest)
        if name in found:
            raise ValueError(f"two models are called {name}: name them apart, as in first=FOLDER second=FOLDER")
        sweeps = [file.parent for file in path.rglob(SWEEP) if file.parent != path]
        files = sorted(file for file in path.rglob(RESULT) if not set(sweeps) & set(file.parents))
        if not files:
            raise ValueError(f"{path} holds no {RESULT}: python -m eval run writes it")
        found[name] = [Found(file.parent, read_result(file)) for file in files]
        titles = [title_of(one.result) for one in found[name]]
        for title in titles:
            if titles.count(title) > 1:
                raise ValueError(f"{path} holds two results of {title}: give their folders apart")
    return found


def write_report(found: Results, out: Path, title: str) -> Path:
    """Write ``report.md``, ``report.html`` and ``report.tex`` with their pictures; the first one's path."""
    make_folder(out)
    overview, published = overview_table(found), list(papers_tables(found))
    sections = [Section(title, [overview, *marks(found)], level=1)]
    if published:
        sections.append(Section("Beside the papers", [Text(NOT_ALL_ALIKE)]))
        sections += [Section(heading, [Text(said), table], level=3) for heading, said, table in published]
    for task in titles_of(found):
        sections += task_sections(task, found, out)
    sections.append(Section("Where the numbers come from", [provenance_table(found)]))
    tables = [("Scores", overview), *((heading, table) for heading, _, table in published)]
    text = "\n\n".join(latex_table(table, caption) for caption, table in tables)
    (out / "report.tex").write_text(text + "\n", encoding="utf-8")
    return write_page(out, sections)


def title_of(result: Result) -> str:
    """What tells a result from others: the task's title and the main score, which may name a count or a prompt set."""
    return f"{result['title']}: {result['headline']}"


def titles_of(found: Results) -> list[str]:
    """The tasks, each once, in the order of the first model that has them."""
    return list(dict.fromkeys(title_of(one.result) for results in found.values() for one in results))


def result_of(results: Iterable[Found], title: str) -> Found | None:
    """A model's result on a task."""
    return next((one for one in results if title_of(one.result) == title), None)


def overview_table(found: Results) -> Table:
    """The main scores of every task, a row each, and a column for each model."""
    rows = []
    for title in titles_of(found):
        of_models = [result_of(results, title) for results in found.values()]
        task_title = next(one.result["title"] for one in of_models if one)
        names = dict.fromkeys(name for one in of_models if one for name in one.result["overview"])
        for name in names:
            cells = (cell(one.result, name) if one and name in one.result["scores"] else "" for one in of_models)
            rows.append([f"{task_title}: {name}", *cells])
    return Table(["score", *found], rows)


def cell(result: Result, score: str) -> str:
    """A score, marked where it is incomplete."""
    return show(result["scores"].get(score)) + ("" if result["complete"] else MARK)


def marks(found: Results) -> list[Part]:
    """What the mark means, where there is one."""
    complete = all(one.result["complete"] for results in found.values() for one in results)
    return [] if complete else [Text(INCOMPLETE)]


def papers_tables(found: Results) -> Iterable[tuple[str, str, Table]]:
    """Title, protocol and table of every published table that has a column of these results, ours in its last rows."""
    for published in published_tables():
        matched = {
            name: {
                column: cell(one.result, score)
                for one in results
                for key, score in one.result["columns"].items()
                if score in one.result["scores"] and (column := column_of(published, key))
            }
            for name, results in found.items()
        }
        columns = [column for column in published["columns"][1:] if any(column in ours for ours in matched.values())]
        if not columns:
            continue
        places = [0, *(published["columns"].index(column) for column in columns)]
        printed = as_printed(published, family_rows(published))
        rows = [[row[place] for place in places] for row in printed]
        rows += [[f"{name} (here)", *(ours.get(column, "") for column in columns)] for name, ours in matched.items()]
        heading = f"{published['paper']}, Table {published['table']}: {published['title']}"
        yield heading, f"{published['protocol']}.", Table([published["columns"][0], *columns], rows)


def task_sections(title: str, found: Results, out: Path) -> list[Section]:
    """A task's scores, protocols, problems and pictures."""
    of_models = {name: one for name, results in found.items() if (one := result_of(results, title))}
    labels = list(dict.fromkeys(label for one in of_models.values() for label in one.result["scores"]))
    rows = [[label, *(show(one.result["scores"].get(label)) for one in of_models.values())] for label in labels]
    parts: list[Part] = [Table(["score", *of_models], rows)]
    for name, one in of_models.items():
        parts.append(Text(f"{name}: {protocol_text(one.result)}"))
        codec = codec_line(one.result)
        parts += [Text(f"{name}: {codec}")] if codec else []
        parts += [Text(f"{name}: {line}") for line in problem_lines(one.result)]
    for name, one in of_models.items():
        sheet = draw_samples(one)
        if sheet:
            path = out / f"{slug(name)}-{slug(title)}.png"
            sheet.save(path)
            parts.append(Picture(path, f"{title}, {name}: prompts at equal distances, their first seeds"))
    return [Section(title, parts)]


def protocol_text(result: Result) -> str:
    """The protocol in a sentence."""
    model = result["provenance"]["model"] or result["provenance"]["drawn_by"]
    said = []
    if model:
        said += [f"checkpoint {model['checkpoint']}", f"{model['resolution']} px", model["dtype"]]
        said += [str(model["sampling_text"]), f"seed {model.get('seed')}"] if model.get("sampling_text") else []
    told = {**result["protocol"], **result["protocol"]["judge"]}
    kept = {name: value for name, value in told.items() if name != "judge" and value not in (None, {})}
    said += [f"{name.replace('_', ' ')} {value}" for name, value in kept.items()]
    return ", ".join([*said, f"{len(result['items'])} items"]) + "."


def draw_samples(found: Found) -> Image.Image | None:
    """Pictures of prompts at equal distances, a row each; None without pictures."""
    given = found.result["provenance"]["images"]
    folder = Path(given) if given else found.folder / PICTURES
    of_prompts: dict[str, list[Path]] = {}
    for item in found.result["items"]:
        if "verdict" in item and (folder / item["path"]).is_file():
            of_prompts.setdefault(item["prompt"], []).append(folder / item["path"])
    prompts = list(of_prompts)
    chosen = [prompts[len(prompts) * number // SHOWN_PROMPTS] for number in range(min(SHOWN_PROMPTS, len(prompts)))]
    columns = min((len(of_prompts[prompt]) for prompt in chosen), default=0)
    if not columns:
        return None
    columns = min(columns, SHOWN_PICTURES)
    try:
        images = [read_image(path) for prompt in chosen for path in of_prompts[prompt][:columns]]
    except ValueError:
        return None  # named in the result
    return grid(images, columns, chosen)


def provenance_table(found: Results) -> Table:
    """Model, libraries and machine of every result."""
    rows = []
    for name, results in found.items():
        for one in results:
            origin = one.result["provenance"]
            model: dict[str, Any] = origin["model"] or origin["drawn_by"] or {}
            libraries = " ".join(f"{library} {version}" for library, version in origin["libraries"].items())
            checkpoint = model.get("checkpoint", "none: scored from files")
            rows.append([f"{name}, {title_of(one.result)}", checkpoint, libraries, origin["machine"]])
    return Table(["result", "checkpoint", "libraries", "machine"], rows)


def slug(name: str) -> str:
    """A name as part of a file's name."""
    return re.sub(r"[^\w.-]+", "-", name)
