"""Paths, globs, brace ranges and URLs to local files."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import fsspec
from filelock import FileLock

URL = re.compile(r"^[a-z0-9+]+://")
BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


CONTENTS = Path.home() / ".cache" / "janusflow" / "contents"  # what was found in large files, so as not to look again


def expand(pattern: str, cache: Path | None = None) -> list[Path]:
    """The local files behind a path, a glob, or a URL; ``{000..127}`` counts, with leading zeros kept.

    URLs are fetched once into ``cache`` (default: ``~/.cache/janusflow/shards``). Raises ``ValueError`` where a
    pattern matches nothing or a URL cannot be fetched.
    """
    found: list[Path] = []
    for name in count_out(pattern):
        if URL.match(name):
            found.append(fetch(name, cache or Path.home() / ".cache" / "janusflow" / "shards"))
            continue
        if Path(name).exists():  # also where it looks like a pattern
            found.append(Path(name))
            continue
        matches = sorted(Path(Path(name).anchor or ".").glob(str(Path(name).relative_to(Path(name).anchor))))
        if not matches:
            raise ValueError(f"no file matches {name}")
        found += map(Path, matches)
    return found


def count_out(pattern: str) -> list[str]:
    """``a-{08..10}.tar`` to ``a-08.tar``, ``a-09.tar``, ``a-10.tar``."""
    match = BRACES.search(pattern)
    if match is None:
        return [pattern]
    first, last = match.groups()
    numbers = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    if not numbers:
        raise ValueError(f"the range {match.group()} of {pattern} is empty")
    heads = [pattern[: match.start()] + number + pattern[match.end() :] for number in numbers]
    return [name for head in heads for name in count_out(head)]


def fetch(url: str, cache: Path) -> Path:
    """The local copy of ``url``, complete or not there at all. Raises ``ValueError`` where it cannot be fetched."""
    target = cache / re.sub(r"[^A-Za-z0-9._-]+", "_", url)
    if target.exists():
        return target
    unfinished = target.with_suffix(f"{target.suffix}.part")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):  # other processes wait for the one that fetches
            if target.exists():
                return target
            with fsspec.open(url, "rb") as source, unfinished.open("wb") as copy:
                while block := source.read(1 << 22):
                    copy.write(block)
            unfinished.replace(target)
    except Exception as error:  # every protocol has errors of its own
        reason = error.__cause__ or repr(error)  # fsspec calls a missing connection a missing file
        raise ValueError(f"cannot fetch {url}: {reason}") from error
    return target


def kept_contents(file: Path, suffix: str) -> Path:
    """Where the contents of ``file`` are kept; elsewhere once it changes. Raises ``ValueError`` where it is gone."""
    try:
        status = file.stat()
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from error
    identity = f"{file.resolve()} {status.st_size} {status.st_mtime_ns}"
    return CONTENTS / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}{suffix}"


def keep_contents(path: Path, write: Callable[[Path], object]) -> None:
    """Have ``write`` fill ``path``, whole or not at all; where that is impossible, they are found anew next time."""
    unfinished = path.with_name(f"{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(unfinished)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
