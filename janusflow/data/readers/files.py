"""Paths, globs, brace ranges and URLs to local files; what was found in large files, kept."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import lru_cache
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from filelock import FileLock
from fsspec.core import url_to_fs
from tqdm import tqdm

URL = re.compile(r"^[a-z0-9+]+://")
BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
CACHE = Path.home() / ".cache" / "janusflow"
CONTENTS = CACHE / "contents"  # what was found in large files, so as not to look again
CONNECTIONS = 8  # files fetched at once
PIECE = 1 << 23  # bytes fetched at a time


def expand(pattern: str, cache: Path | None = None) -> list[Path]:
    """The local files behind a path, a glob, or a URL; ``{000..127}`` counts, with leading zeros kept.

    URLs are fetched once into ``cache`` (default: ``~/.cache/janusflow/shards``). Raises ``ValueError`` where a
    pattern matches nothing or a URL cannot be fetched.
    """
    names = count_out(pattern)
    copies = fetch_all([name for name in names if URL.match(name)], cache or CACHE / "shards")
    found: list[Path] = []
    for name in names:
        if name in copies:
            found.append(copies[name])
            continue
        found += local_files(name)
    return found


def check_pattern(pattern: str) -> None:
    """Raise ``ValueError`` where a part of ``pattern`` matches no file. URLs are not looked at."""
    for name in count_out(pattern):
        if not URL.match(name):
            local_files(name)


def local_files(name: str) -> list[Path]:
    """The files behind a path or a glob. Raises ``ValueError`` where there are none."""
    if Path(name).exists():  # also where it looks like a pattern
        return [Path(name)]
    matches = sorted(Path(Path(name).anchor or ".").glob(str(Path(name).relative_to(Path(name).anchor))))
    if not matches:
        raise ValueError(f"no file matches {name}")
    return matches


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


def fetch_all(urls: Sequence[str], cache: Path) -> dict[str, Path]:
    """The local copies of ``urls``; what is missing is fetched, several at once, after all were found to be there.

    Interrupted, it goes on within a file. Raises ``ValueError`` with the first URL that cannot be fetched.
    """
    copies = {url: cache / re.sub(r"[^A-Za-z0-9._-]+", "_", url) for url in urls}
    missing = {url: path for url, path in copies.items() if not path.exists()}
    if not missing:
        return copies
    stop = Event()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        try:
            found = dict(zip(missing, pool.map(describe, missing), strict=True))
            total = sum(about.get("size") or 0 for about in found.values())
            with progress_bar(f"fetching {len(missing)} files", "B", total) as bar:
                jobs = [pool.submit(fetch, url, path, found[url], bar, stop) for url, path in missing.items()]
                for job in as_completed(jobs):
                    job.result()
        except BaseException:  # also Ctrl-C
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return copies


def describe(url: str) -> dict[str, Any]:
    """What tells whether ``url`` is still the same, its size in bytes among it (None: unknown)."""
    try:
        system, path = url_to_fs(url)
        about = system.info(path)
    except Exception as error:  # every protocol has errors of its own
        reason = error.__cause__ or repr(error)  # fsspec calls a missing connection a missing file
        raise ValueError(f"cannot fetch {url}: {reason}") from error
    return {name: about.get(name) for name in ("size", "ETag", "etag", "mtime", "LastModified", "last_modified")}


def fetch(url: str, target: Path, about: dict[str, Any], bar: tqdm, stop: Event) -> None:
    """Copy ``url`` to ``target``, complete or not at all. Raises ``ValueError`` where it cannot be fetched."""
    version = hashlib.sha256(repr(about).encode()).hexdigest()[:12]
    unfinished = target.with_name(f"{target.name}.{version}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):  # other processes wait for the one that fetches
            if target.exists():
                bar.update(about["size"] or 0)
                return
            try:
                finished = copy(url, unfinished, about["size"] is not None, bar, stop)
            except ValueError:  # the server does not give parts of a file
                finished = copy(url, unfinished, False, bar, stop)
            if finished and about["size"] not in (None, unfinished.stat().st_size):
                unfinished.unlink()
                raise ValueError(f"it has not the {about['size']} bytes that it should have")
            if finished:
                unfinished.replace(target)
    except Exception as error:  # every protocol has errors of its own
        raise ValueError(f"cannot fetch {url}: {error!r}") from error


def copy(url: str, path: Path, in_parts: bool, bar: tqdm, stop: Event) -> bool:
    """Append to ``path`` what it lacks of ``url``, or all of it anew where not ``in_parts``; False when stopped."""
    system, place = url_to_fs(url)
    options: dict[str, Any] = {"cache_type": "none"} if in_parts else {"block_size": 0}  # 0: one stream
    with system.open(place, "rb", **options) as source, path.open("ab" if in_parts else "wb") as copied:
        if copied.tell():
            source.seek(copied.tell())
            bar.update(copied.tell())
        while block := source.read(PIECE):
            copied.write(block)
            bar.update(len(block))
            if stop.is_set():
                return False
    return True


def progress_bar(title: str, unit: str, total: int) -> tqdm:
    """A bar on a terminal; of torchrun's processes only the first shows it."""
    quiet = None if os.environ.get("RANK", "0") == "0" else True
    return tqdm(desc=title, unit=unit, unit_scale=True, total=total or None, disable=quiet)


class KeptArray:
    """``make(file)``, made once as long as the file stays as it is, kept in a file and mapped: all processes share it.

    Files smaller than ``least`` bytes are not worth it: their array is held in memory, and so is any where the cache
    folder cannot be written. Raises ``ValueError`` where the file is gone, or what ``make`` raises.
    """

    def __init__(self, file: Path, make: Callable[[Path], np.ndarray], suffix: str, least: int = 0) -> None:
        self.file, self.make = file, make
        try:
            status = file.stat()
        except OSError as error:
            raise ValueError(f"cannot read {file}: {error.strerror}") from error
        identity = f"{file.resolve()} {status.st_size} {status.st_mtime_ns}"
        self.path = CONTENTS / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}{suffix}"
        self.held = make(file) if status.st_size < least else None
        if self.held is None and open_array(self.path) is None:
            self.held = self._keep()
        self.length = len(self.array)

    def __len__(self) -> int:
        return self.length

    @property
    def array(self) -> np.ndarray:
        """The array. Raises ``ValueError`` where it is gone from the cache folder and the file has changed."""
        if self.held is None:
            mapped = open_array(self.path)
            if mapped is not None:
                return mapped
            self.held = self.make(self.file)
            if len(self.held) != self.length:
                raise ValueError(f"{self.file} has changed")
        return self.held

    def _keep(self) -> np.ndarray | None:
        """Make the file of the array; returns the array where that is impossible."""
        made = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path.with_suffix(".lock")):  # other processes wait for the one that makes it
                if open_array(self.path) is None:
                    made = self.make(self.file)
                    unfinished = self.path.with_suffix(".part")
                    with unfinished.open("wb") as file:
                        np.save(file, made)
                    unfinished.replace(self.path)
            return made if open_array(self.path) is None else None
        except OSError:
            return self.make(self.file) if made is None else made


def open_array(path: Path) -> np.ndarray | None:
    """The array in a file, not read but mapped into memory; None where there is none."""
    try:
        return _map(path)
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=64)  # each keeps a file open
def _map(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r")
