"""A result that is there already is not scored anew, as long as nothing that it came from has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.files import file_hash, read_json
from eval.result import RESULT, Result, describe_options, read_result
from eval.store import ANSWERED, DRAWN, JUDGED, write_json
from eval.task import Task, Work

SCORED = "scored.json"  # beside the result: what it was made of


def sources(
    task: Task, work: Work, settings: Mapping[str, Any], folder: Path, unknown: Sequence[str], held: int
) -> str:
    """A hash of everything that a result depends on: items, what is stored of them, options and the code itself."""
    options = describe_options(task)
    stored = [path for stage in (DRAWN, ANSWERED, JUDGED) for path in sorted(folder.glob(f"{stage}-*-of-*.jsonl"))]
    code = sorted(Path(__file__).parent.rglob("*.py"))
    facts = [
        [
            task.name,
            task.title,
            task.size,
            dict(task.columns),
            settings,
            work.protocol,
            work.problems,
            list(unknown),
            held,
        ],
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
