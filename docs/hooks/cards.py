"""Verification cards: what command gave which numbers, on what machine, with which versions, when.

``docs/results/cards.yaml`` says which numbers of which stored results stand on a card; the numbers, machines and
versions are read from these files, dates too, or else from the repository's history. In the place of ``CARDS`` on a
page stand all cards.
"""

from __future__ import annotations

import json
import logging
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
LIST = ROOT / "docs/results/cards.yaml"
CARDS = "<!-- cards -->"
MACHINE = ("machine", "processor", "cores", "threads", "device")
VERSIONS = ("janusflow", "torch", "transformers", "diffusers", "timm", "numpy", "scipy", "pillow", "clean-fid")
UNKNOWN = "not stored with the result"
log = logging.getLogger("mkdocs.hooks.cards")


def on_page_markdown(markdown: str, **_: object) -> str:
    """The page with its cards."""
    if CARDS not in markdown:
        return markdown
    return markdown.replace(CARDS, "\n\n".join(card(entry) for entry in read_list()))


def read_list() -> list[dict[str, Any]]:
    """The cards: ``title``, ``files`` (the first holds the numbers), ``values``, and what no file has: ``command``,
    ``note``."""
    return yaml.safe_load(LIST.read_text(encoding="utf-8"))


def card(entry: dict[str, Any]) -> str:
    """A card as Markdown."""
    stored = [json.loads((ROOT / name).read_text(encoding="utf-8")) for name in entry["files"]]
    rows = [f"| {name} | {show(look_up(stored[0], path))} |" for name, path in entry["values"].items()]
    hardware = first(stored, MACHINE)
    notes = [*first(stored, ("note",)).values(), *filter(None, [entry.get("note")])]
    facts = {
        "hardware": ", ".join(str(v) if name in MACHINE[:2] else f"{name} {v}" for name, v in hardware.items()),
        "versions": ", ".join(f"{name} {version}" for name, version in first(stored, VERSIONS).items()),
        "date": first(stored, ("date",)).get("date") or committed(entry["files"][0]),
        "stored in": f"[{entry['files'][0]}](../../{entry['files'][0]})",
    }
    command = first(stored, ("command",)).get("command") or entry["command"]
    lines = [f"## {entry['title']}", f"```bash\n{command.rstrip()}\n```"]
    lines.append("\n".join(["| expected | |", "|---|---:|", *rows]))
    lines.append("\n".join([f"- {name}: {value or UNKNOWN}" for name, value in facts.items()]))
    lines += [f"Note: {note}." for note in notes]
    return "\n\n".join(lines)


def look_up(data: Any, path: str) -> Any:
    """The value at ``a/b/key=value,key=value/c``: keys of mappings, and rows of lists by what they hold.

    Raises ``KeyError`` with the path where there is none.
    """
    found = data
    for piece in path.split("/"):
        if isinstance(found, list):
            wanted = dict(part.split("=", 1) for part in piece.split(","))
            found = next((row for row in found if all(str(row.get(k)) == v for k, v in wanted.items())), None)
        else:
            found = found.get(piece) if isinstance(found, dict) else None
        if found is None:
            raise KeyError(f"{path}: there is no {piece}")
    return found


def first(stored: list[Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Of each name its first value in the files, at their top, in their protocol or among its libraries."""
    found: dict[str, Any] = {}
    for data in stored:
        protocol = data.get("protocol", {})
        for level in (data, protocol, protocol.get("libraries", {})):
            found |= {name: level[name] for name in names if name in level and name not in found}
    return {name: found[name] for name in names if name in found}


def show(value: Any) -> str:
    """A number with four digits, or a text."""
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def committed(name: str) -> str:
    """The day on which a file's content came into the repository; "" outside of one."""
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%cs", "--", name]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
