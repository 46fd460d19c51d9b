"""Features of real pictures, computed once and kept in an ``.npz`` that is used only while whole and up to date."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from eval.features.extractors import FeatureExtractor
from eval.features.frechet import GaussianStats
from eval.features.images import ImageFiles, ahead
from eval.features.resizing import RESIZES
from eval.files import file_hash

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1  # of the files; raised where the same pictures give other features
BATCH = 32
PIECE = 1024  # pictures whose features are kept together until all are computed
DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)  # what reading such a file raises


@dataclass(frozen=True)
class Reference:
    """Statistics of real pictures; ``features`` (N, D) float32 and their ``names``, where they are known."""

    stats: GaussianStats
    features: np.ndarray | None
    names: tuple[str, ...] | None
    record: Mapping[str, Any]  # extractor, resize, number of pictures, key


def reference_record(
    files: ImageFiles, names: Sequence[str], extractor: FeatureExtractor, resize: str
) -> dict[str, Any]:
    """What a reference is of; the key changes with any picture's path or content, the extractor or the resizing."""
    described = {"extractor": extractor.describe(), "resize": resize, "pictures": len(names)}
    told = tqdm(names, f"checking {files.root.name}", unit="picture", leave=False, disable=None)
    identity = {"format": FORMAT, **described, "files": [(name, files.checksum(name)) for name in told]}
    return {**described, "key": hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]}


def find_reference(
    cache: Path,
    name: str,
    files: ImageFiles,
    names: Sequence[str],
    extractor: FeatureExtractor,
    resize: str,
    workers: int | None = None,
    batch_size: int = BATCH,
) -> Reference:
    """The features of the pictures ``names``, from the folder ``cache`` or computed, and then kept there as ``name``.

    A file of other pictures or another extractor, and a damaged one, is written anew; killed, it goes on from the
    last whole piece, which stand beside the file. ``workers`` processes read and resize (default: one a core). Raises
    ``ValueError`` for fewer than two pictures, for one that cannot be read, and where a file cannot be written.
    """
    record = reference_record(files, names, extractor, resize)
    path = cache / f"{name}-{record['key']}.npz"
    try:
        kept = read_reference(path)
        if kept.record == record and kept.features is not None and len(kept.features) == len(names):
            return kept
    except ValueError:
        pass  # computed anew
    if len(names) < 2:
        raise ValueError(f"{files.root} holds {len(names)} pictures: a reference needs at least 2")
    pieces = path.with_name(f"{path.name}.pieces")
    features = compute_features(pieces, files, names, extractor, resize, workers, batch_size)
    reference = Reference(GaussianStats.of(features), features, tuple(names), record)
    write_reference(path, reference)
    shutil.rmtree(pieces, ignore_errors=True)  # another process may do the same
    return reference


def compute_features(
    folder: Path,
    files: ImageFiles,
    names: Sequence[str],
    extractor: FeatureExtractor,
    resize: str,
    workers: int | None = None,
    batch_size: int = BATCH,
) -> np.ndarray:
    """The features (N, D) of the pictures ``names``, computed and kept in ``folder`` piece by piece, where they are
    not there yet.
    """
    pieces = {folder / f"{start:06d}.npy": names[start : start + PIECE] for start in range(0, len(names), PIECE)}
    found = {path: _read_piece(path, len(piece)) for path, piece in pieces.items()}
    left = {
        path: [piece[first : first + batch_size] for first in range(0, len(piece), batch_size)]
        for path, piece in pieces.items()
        if found[path] is None
    }
    todo = [batch for batches in left.values() for batch in batches]
    pixels = ahead(partial(read_pixels, files, extractor, resize), todo, workers)
    done = len(names) - sum(map(len, todo))
    with tqdm(
        desc=f"features of {files.root.name}", total=len(names), initial=done, unit="picture", disable=None
    ) as bar:
        for path, batches in left.items():
            rows = []
            for batch in batches:
                rows.append(extractor.features(next(pixels)).astype(np.float32, copy=False))
                bar.update(len(batch))
            with _whole_file(path) as file:
                np.save(file, np.concatenate(rows))
            found[path] = _read_piece(path, len(pieces[path]))
    return np.concatenate([rows for rows in found.values() if rows is not None])


def read_pixels(files: ImageFiles, extractor: FeatureExtractor, resize: str, names: Sequence[str]) -> Tensor:
    """What the extractor's network takes of the pictures ``names``."""
    return extractor.pixels([RESIZES[resize](files.read(name)) for name in names])


def _read_piece(path: Path, count: int) -> np.ndarray | None:
    """The features of ``count`` pictures, left on disk; None where there is no such file, or it is damaged."""
    try:
        features: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except DAMAGED:
        return None
    return features if features.ndim == 2 and len(features) == count else None


def write_reference(path: Path, reference: Reference) -> None:
    """Write the file, whole or not at all. Raises ``ValueError`` where that fails."""
    arrays: dict[str, Any] = {"n": np.int64(reference.stats.n), "mean": reference.stats.mean}
    arrays |= {"cov": reference.stats.cov, "record": np.array(json.dumps(reference.record))}
    if reference.features is not None:
        arrays |= {"features": reference.features, "names": np.array(reference.names)}
    with _whole_file(path) as file:
        np.savez(file, **arrays)


@contextmanager
def _whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, which gets its name once it is whole. Raises ``ValueError`` where that fails."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(path)
    except OSError as error:
        raise ValueError(f"cannot write the reference {path}: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def read_reference(path: Path) -> Reference:
    """A file of ours, or clean-fid's with ``mu`` and ``sigma`` alone. Raises ``ValueError`` where it is neither."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if "mu" in arrays and "sigma" in arrays:  # clean-fid's do not say what they are of; no distance needs n
                record = {"file": path.name, "sha256": file_hash(path)}
                return Reference(GaussianStats.from_moments(2, arrays["mu"], arrays["sigma"]), None, None, record)
            if "n" not in arrays:
                raise ValueError("it holds no mu and sigma, and is none of ours")
            stats = GaussianStats.from_moments(int(arrays["n"]), arrays["mean"], arrays["cov"])
            features = arrays.get("features")
            names = tuple(arrays["names"].tolist()) if "names" in arrays else None
            if features is not None and (features.shape != (stats.n, stats.dim) or len(names or ()) != stats.n):
                raise ValueError(f"{stats.n} pictures do not go with features {features.shape}")
            return Reference(stats, features, names, json.loads(str(arrays["record"])))
    except DAMAGED as error:
        raise ValueError(f"cannot read the reference {path}: {error}") from error


def check_reference(path: Path, reference: Reference, extractor: FeatureExtractor, resize: str) -> Reference:
    """``reference``. Raises ``ValueError`` where the file ``path`` says that it is of another extractor or resizing."""
    for what, ours in (("extractor", extractor.describe()), ("resize", resize)):
        if reference.record.get(what, ours) != ours:
            raise ValueError(f"{path} is of the {what} {reference.record[what]}, not of {ours}")
    return reference
