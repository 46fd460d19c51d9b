"""A task's result: every item, the score, what is wrong with it, its protocol, and where it comes from."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.files import file_hash, read_json, read_json_lines
from eval.intervals import reaches
from eval.store import ANSWERED, DRAWN, JUDGED, Entry, read_stage, write_json
from eval.task import MISSING, Drawing, Judged, Problems, Question, Record, Scored, Task, Work, joined

RESULT = "result.json"
SCORED = "scored.json"  # beside the result: what it was made of
LIMITED = "limited"  # the problem of a result of some of the items only
PROVENANCE = (*("model", "decoding", "images", "drawn_by", "answers", "batch_size", "libraries", "machine"),)
EACH = "*"  # in a form: every name of an object
NONE = type(None)
MODEL = {"checkpoint": str, "resolution": (int, float), "dtype": str}
FORM = {  # of a result, as pages read it
    **{"task": str, "title": str, "headline": str, "complete": bool, "overview": [str], "columns": {EACH: str}},
    **{"scores": {EACH: (int, float, NONE)}, "problems": {EACH: [str]}, "protocol": {"judge": dict}, "items": [dict]},
    "provenance": {
        **{"model": (NONE, MODEL), "drawn_by": (NONE, MODEL), "images": (NONE, str)},
        **{"libraries": dict, "machine": str},
    },
}
PICTURE_FORM = {"path": str, "prompt": str}  # of an item with a verdict
SCORE_TABLE = ("| score | value | 95 % |", "|---|---:|---:|")
FIGURES = {"rules": "rules", "psnr_db": "PSNR in dB", "pictures": "pictures"}  # of a codec's reconstruction
SHOWN = 5  # names of items on a line
Result = dict[str, Any]


def collect(
    task: Task,
    work: Work,
    settings: dict[str, Any],
    folder: Path,
    given: Mapping[str, str] | None = None,
    unknown: Sequence[str] = (),
    held: int | None = None,
    limit: int | None = None,
) -> tuple[Result, list[Path]] | None:
    """Score what all shards have stored in ``folder``, and write the result; None while something is left to do.

    Also the files that were written for others.

    given: answers from elsewhere, by id; a question that they leave out is a problem and not left to do.
    unknown: those to no question. held: how many items the benchmark's files hold, of which ``work`` may be a part.
    """
    held = len(work) if held is None else held
    undrawn = {name: one for name, one in read_stage(folder, DRAWN, limit).items() if "problem" in one.record}
    judged = read_stage(folder, JUDGED, limit) | undrawn
    answered = read_stage(folder, ANSWERED, limit)
    if given is not None:
        answered = {one.id: answer_entry(given.get(one.id)) for one in work.questions}
    done = {one.id: judged.get(one.id) for one in work.drawings}
    done |= {one.id: answered.get(one.id) for one in work.questions}
    entries = {name: entry for name, entry in done.items() if entry is not None}
    if len(entries) < len(done):
        return None
    verdicts = {
        one.id: Judged(entries[one.id].record["verdict"], entries[one.id].features)
        for one in work.drawings
        if "verdict" in entries[one.id].record
    }
    texts = {one.id: entries[one.id].record["answer"] for one in work.questions if "answer" in entries[one.id].record}
    scored = task.score(work, verdicts, texts)
    found = found_problems(work, entries, unknown)
    told = {name for name, entry in entries.items() if "problem" in entry.record}
    missing = [name for name in scored.problems.get(MISSING, ()) if name not in told]
    judged_problems = {**scored.problems, MISSING: missing}
    limited = [limit_line(task, work, held)] if len(work) < held else []
    problems = joined(found, judged_problems, {LIMITED: limited})
    title, columns, counts = title_and_columns(task, scored, settings["judge"], held, len(verdicts) + len(texts))
    result = {
        "task": task.name,
        "title": title,
        "headline": scored.headline,
        "complete": not set(problems) - set(task.tolerated),
        "scores": scored.scores,
        "intervals": reaches(task, work, verdicts, texts),  # half their widths
        "overview": [scored.headline, *(name for name in task.overview if name in scored.scores)],
        "columns": columns,
        "problems": problems,
        "broken": bool(set(problems) - {LIMITED, *task.of_a_part, *task.tolerated}),  # by more than a limit
        "protocol": {**work.protocol, **describe_options(task), **counts, "judge": settings["judge"]},
        "provenance": {name: settings[name] for name in PROVENANCE},
        "details": scored.details,
        "items": items(work, entries, scored),
    }
    drawer = settings["model"] or settings["drawn_by"] or {}
    if work.drawings and drawer.get("codec"):
        result["codec"] = {"digest": drawer["codec"], **task.codec_figures(drawer.get("reconstructions", {}))}
    write_json(folder / RESULT, result)
    return result, task.export(folder, work, texts)


def title_and_columns(
    task: Task, scored: Scored, judge: Record, held: int, done: int
) -> tuple[str, dict[str, str], dict[str, int]]:
    """What the result is called, the published columns that its scores stand in, and the counts that depart.

    Scores stand there only of the whole benchmark, judged and read as the papers' were: nothing departs from the
    published protocol (:meth:`Task.departures`: another judge, extractor, resizing, prompt set, variant of the rules
    …), the files hold as many items as the benchmark officially has, and every item was judged or answered. What
    departs stands in the title; what is missing marks the score.

    judge: as :meth:`Task.judge_protocol` gives it. held: items in the benchmark's files. done: how many of them were
    judged or answered.
    """
    departures = task.departures(judge)
    counts = {} if task.size in (None, held) else {"items in the files": held, "items of the benchmark": task.size}
    said = [task.title]  # what the main score's name says already is not said again
    said += [what for what in departures if what not in task.title and what not in scored.headline]
    said += [f"{held} of {task.size} items"] if counts else []
    stands = not departures and not counts and done == held
    return ", ".join(said), dict(task.columns) if stands else {}, counts


def limit_line(task: Task, work: Work, held: int) -> str:
    """How many of the benchmark's items these are, and of which parts of it."""
    items: list[Drawing | Question] = [*work.drawings, *work.questions]
    parts = Counter(task.place(one)[0] for one in items)
    line = f"{len(work)} of {held} items"
    if len(parts) < 2:
        return line
    least, most = min(parts.values()), max(parts.values())
    names = ", ".join([*parts][:SHOWN]) + (" …" if len(parts) > SHOWN else "")
    return f"{line}, {least if least == most else f'{least} to {most}'} from each of {len(parts)} parts ({names})"


def found_problems(work: Work, entries: Mapping[str, Entry], unknown: Sequence[str]) -> Problems:
    """What is wrong with the benchmark's files, the pictures and the answers: kind -> items."""
    failed: Problems = {}
    for name, entry in entries.items():
        if "problem" in entry.record:
            failed.setdefault(entry.record["problem"], []).append(f"{name}: {entry.record.get('reason', '')}")
    strangers = [f"{name}: an answer to no question" for name in unknown]
    return joined(failed, {"unexpected": strangers}, work.problems)


def items(work: Work, entries: Mapping[str, Entry], scored: Scored) -> list[dict[str, Any]]:
    """Every item: what was asked for, what came, what the judge and the scorer made of it."""
    drawn = [
        {"id": one.id, "prompt": one.prompt, "seeds": list(one.seeds), "path": one.path}
        | entries[one.id].record
        | scored.items.get(one.id, {})
        for one in work.drawings
    ]
    asked = [
        {"id": one.id, "question": one.text, "gold": one.gold} | entries[one.id].record | scored.items.get(one.id, {})
        for one in work.questions
    ]
    return drawn + asked


def describe_options(task: Task) -> dict[str, Any]:
    """The task's own flags, as JSON data."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(task.given).items()}


def answer_entry(text: str | None) -> Entry:
    """An answer from elsewhere; None is a problem."""
    return Entry({"problem": "missing", "reason": "no answer"} if text is None else {"answer": text})


def read_result(path: Path) -> Result:
    """A ``result.json``. Raises ``ValueError`` where it is none, or lacks what pages read."""
    result: Result = read_json(path)
    wrong = misfit(result, FORM)
    for number, item in enumerate([] if wrong else result["items"]):
        if "verdict" in item:
            wrong = wrong or misfit(item, PICTURE_FORM, f"items.{number}")
    if wrong is not None:
        raise ValueError(f"{path} is no result of python -m eval run: it has no {wrong}, or another kind of it")
    return result


def misfit(value: Any, form: Any, where: str = "") -> str | None:
    """The place of the first part of a JSON value that is missing or not of the ``form``; None where all is.

    A form is a type, a tuple of forms (one fits), ``[form]`` of a list, or ``{name or EACH: form}`` of an object.
    """
    if isinstance(form, tuple):
        found = [misfit(value, one, where) for one in form]
        return None if None in found else found[-1]
    if not isinstance(form, (list, dict)):
        return None if type(value) is form else where or "content"
    if type(value) is not type(form):
        return where or "content"
    parts = {EACH: form[0]} if isinstance(form, list) else form
    members = dict(enumerate(value)) if isinstance(value, list) else value
    for name, part in parts.items():
        for key in members if name == EACH else (name,):
            place = f"{where}.{key}" if where else str(key)
            if (wrong := place if key not in members else misfit(members[key], part, place)) is not None:
                return wrong
    return None


def read_answers(path: Path) -> dict[str, str]:
    """Answers by question id: a JSON object (``.json``), or JSON lines of ``{"id": …, "answer": …}``.

    Raises ``ValueError`` for another form, and for an id with two different answers.
    """
    if path.suffix == ".json":
        content = read_json(path)
        if not isinstance(content, dict):
            raise ValueError(f'{path} must hold an object {{"id": "answer", …}}')
        pairs = list(content.items())
    else:
        lines = read_json_lines(path)
        if not all(
            isinstance(line, dict) and "id" in line and ("answer" in line or "problem" in line) for line in lines
        ):
            raise ValueError(f'{path}: every line must be {{"id": …, "answer": …}}')
        pairs = [(str(line["id"]), line["answer"]) for line in lines if "answer" in line]  # not our own problems
    if not pairs:
        raise ValueError(f"{path} holds no answers")
    answers: dict[str, str] = {}
    for name, text in pairs:
        if not isinstance(text, str):
            raise ValueError(f"{path}: the answer to {name} is not a text but {text!r}")
        if answers.setdefault(name, text) != text:
            raise ValueError(f"{path} holds two answers to {name}, {answers[name]!r} and {text!r}")
    return answers


def problem_lines(result: Result) -> list[str]:
    """A line for every kind of problem: how many items, and the first of them."""
    lines = []
    for kind, names in result["problems"].items():
        more = f" … and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        lines.append(f"{kind} ({len(names)}): {'; '.join(names[:SHOWN])}{more}")
    return lines


def codec_line(result: Result) -> str | None:
    """How well the codec behind drawn pictures reconstructs by itself, which no model that draws with it can pass.

    None of a result that names no codec.
    """
    codec = result.get("codec")
    if codec is None:
        return None
    told = [f"{where}: {figures_text(figures)}" for where, figures in codec["reconstructions"].items()]
    said = "; ".join(told) or f"not measured ({codec['measured_by']})"
    return f"The image codec {codec['digest']} alone: {said}."


def figures_text(figures: Mapping[str, float]) -> str:
    """A codec's figures in words."""
    shown = {name: str(value) if isinstance(value, int) else show(value) for name, value in figures.items()}
    return ", ".join(f"{FIGURES.get(name, name)} {value}" for name, value in shown.items())


def score_lines(result: Result) -> list[str]:
    """The scores as Markdown with their 95 % intervals, where there are any, whether they are complete, and what the
    image codec alone reaches."""
    intervals = result.get("intervals", {})
    lines = [f"{result['title']}{'' if result['complete'] else ' - INCOMPLETE'}", "", *SCORE_TABLE]
    for name, value in result["scores"].items():
        strong = "**" if name == result["headline"] else ""
        reach = f"± {show(intervals[name])}" if name in intervals else ""
        lines.append(f"| {strong}{name}{strong} | {show(value)} | {reach} |")
    codec = codec_line(result)
    return [*lines, "", codec] if codec else lines


def show(value: float | None) -> str:
    """A score in a table: three decimals, fewer of large numbers, three digits of very small ones."""
    if value is None:
        return "–"
    if 0 < abs(value) < 0.1:
        return f"{value:.3g}" if abs(value) < 0.01 else f"{value:.3f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}"


def sources(
    task: Task, work: Work, settings: Mapping[str, Any], folder: Path, unknown: Sequence[str], held: int
) -> str:
    """A hash of everything that a result depends on: items, what is stored of them, options and the code itself."""
    options = describe_options(task)
    stored = [path for stage in (DRAWN, ANSWERED, JUDGED) for path in sorted(folder.glob(f"{stage}-*-of-*.jsonl"))]
    code = sorted(Path(__file__).parent.rglob("*.py"))
    theirs = getattr(sys.modules[type(task).__module__], "__file__", None)  # a task may be yours
    code += [Path(theirs)] if theirs else []
    facts = [
        [task.name, task.title, task.size, dict(task.columns)],
        [settings, work.protocol, work.problems, list(unknown), held],
        [options, [file_hash(Path(one)) for one in options.values() if isinstance(one, str) and Path(one).is_file()]],
        [list(one) for one in work.drawings],
        [[one.id, one.text, one.gold] for one in work.questions],
        [[path.name, file_hash(path)] for path in (*stored, *code)],
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def kept_result(folder: Path, key: str) -> Result | None:
    """The result in ``folder``, if :func:`keep` has noted that it is of ``key``, and nothing was changed since."""
    try:
        note = read_json(folder / SCORED)
        if note["key"] == key and all(file_hash(folder / name) == digest for name, digest in note["files"].items()):
            return read_result(folder / RESULT)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass  # never scored, or damaged
    return None


def keep(folder: Path, key: str, exported: Sequence[Path]) -> None:
    """Note what the result in ``folder``, with the files that go with it, was made of."""
    files = [folder / RESULT, *exported]
    hashes = {path.relative_to(folder).as_posix(): file_hash(path) for path in files}
    write_json(folder / SCORED, {"key": key, "files": hashes})
