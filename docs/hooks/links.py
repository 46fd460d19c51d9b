"""Links of the pages, as a reader on a code host sees them, made to work in the site.

- ``../janusflow/flow.py#velocity_loss``: the function, where the API reference has it.
- any other file of the repository: a copy of it in the site, below ``files/``.
- a file of ``examples/`` alone on a line: the link, and the file itself.
- README.md is the front page; CONTRIBUTING.md and CHANGELOG.md are pages too.

What a link names and is not there is a warning, which ``mkdocs build --strict`` refuses.
"""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
FENCES = re.compile(r"(^```.*?^```$)", re.M | re.S)
LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)")
EXAMPLE = re.compile(r"^\[[^\]]*\]\((?P<target>(?:\.\./)*examples/\w+\.py)\)$", re.M)
PACKAGES = ("janusflow/", "eval/")
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changes.md"}
FILES = "files"
log = logging.getLogger("mkdocs.hooks.links")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages that lie beside ``docs/``."""
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with links that the site has."""
    source = page.file.src_uri
    beside = source in PAGES.values()
    place = "" if beside else posixpath.join("docs", posixpath.dirname(source))  # where its links begin

    def shown(match: re.Match[str]) -> str:
        path = ROOT / posixpath.normpath(posixpath.join(place, match["target"]))
        return f"{match[0]}\n\n```python\n{path.read_text(encoding='utf-8')}```"

    def linked(match: re.Match[str]) -> str:
        text, target, anchor = match["text"], match["target"], match["anchor"] or ""
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = posixpath.normpath(posixpath.join(place, target))
        if not (ROOT / path).is_file():
            log.warning("%s: there is no file %s", source, path)
            return match[0]
        if path.endswith(".py") and path.startswith(PACKAGES):
            module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            return f"[{text}][{module}{anchor.replace('#', '.')}]"
        return f"[{text}]({posixpath.relpath(in_site(path), posixpath.dirname(source) or '.')}{anchor})"

    def in_site(path: str) -> str:
        if path in PAGES:
            return PAGES[path]
        if path.startswith("docs/"):
            return path.removeprefix("docs/")
        copy = f"{FILES}/{path}" + (".txt" if path.endswith(".md") else "")  # or it would be a page without a place
        if files.get_file_from_path(copy) is None:
            files.append(File.generated(config, copy, abs_src_path=str(ROOT / path)))
        return copy

    parts = FENCES.split(EXAMPLE.sub(shown, markdown))
    return "".join(part if part.startswith("```") else LINK.sub(linked, part) for part in parts)
