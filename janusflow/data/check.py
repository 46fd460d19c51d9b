"""What a source holds, looked through once: sizes, lengths, what cannot be read, duplicates, a contact sheet.

Samples pass one by one; numbers of a few bytes are kept of each. Pictures count as alike where the signs of the
differences of neighbouring pixels, in 9 x 8 grey ones, differ in at most :data:`ALIKE` of 64 places (dHash).
"""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset

from janusflow.data.readers.base import Reader
from janusflow.data.sample import DocumentSample, Unwanted
from janusflow.pictures import CELL, grid
from janusflow.progress import Progress
from janusflow.weights import writing

ENDLESS = 1000  # samples that are looked at of a source without end
SHOWN, COLUMNS = 48, 8  # pictures of the contact sheet
ALIKE = 3  # bits
NEIGHBOURS = 8  # in each of four orders of the hashes: pictures that share one of four parts stand side by side
VOCABULARY = 100_000  # words that are counted at once
LISTED = 5  # faults, pairs and words that are printed
# How a sample is looked at: the first that the source serves.
FORMS = ("generation", "understanding", "text", "reconstruction", "editing")


class Looked(NamedTuple):
    """What is kept of a sample."""

    item: int
    fault: str | None = None
    unwanted: bool = False
    texts: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()  # width and height of its pictures
    hashes: tuple[tuple[int, int], ...] = ()  # exact and perceptual, of each
    thumbnail: Image.Image | None = None


class Items(Dataset[Looked]):
    """Every sample of a reader, in the form that it is looked at."""

    def __init__(self, reader: Reader, count: int) -> None:
        self.reader, self.count = reader, count
        self.form = next(form for form in FORMS if form in reader.tasks)
        self.shown = set(np.linspace(0, count - 1, min(SHOWN, count)).astype(int).tolist())

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: int) -> Looked:
        try:
            sample = getattr(self.reader, self.form)(item, np.random.default_rng((0, item)))
        except Unwanted:
            return Looked(item, unwanted=True)
        except ValueError as error:
            return Looked(item, fault=str(error))
        images, texts = contents(sample)
        shown = ImageOps.pad(images[0], (CELL, CELL), color="white") if images and item in self.shown else None
        hashes = tuple((exact_hash(image), perceptual_hash(image)) for image in images)
        return Looked(item, None, False, texts, tuple(image.size for image in images), hashes, shown)


def contents(sample: Any) -> tuple[list[Image.Image], tuple[str, ...]]:
    """The pictures and texts of a sample of any kind."""
    if isinstance(sample, DocumentSample):
        return sample.images, tuple(part for part in sample.segments if isinstance(part, str))
    if hasattr(sample, "turns"):
        return list(sample.images), tuple(text for turn in sample.turns for text in turn)
    if hasattr(sample, "prompt"):
        return [*sample.images, *([] if sample.image is None else [sample.image])], (sample.prompt,)
    return [], (sample.text,)


def exact_hash(image: Image.Image) -> int:
    """64 bits of the pixels: equal of equal pictures, in whatever file."""
    found = hashlib.blake2b(f"{image.size}".encode(), digest_size=8)
    found.update(image.convert("RGB").tobytes())
    return int.from_bytes(found.digest(), "big")


def perceptual_hash(image: Image.Image) -> int:
    """64 signs of differences: nearly equal of pictures that were resized or stored anew."""
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.LANCZOS), dtype=np.int16)
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes(), "big")


@dataclass
class Findings:
    """What was found in a source."""

    name: str
    total: int
    looked: int = 0
    unwanted: int = 0
    faults: list[str] = field(default_factory=list)
    widths: array = field(default_factory=lambda: array("I"))
    heights: array = field(default_factory=lambda: array("I"))
    owners: array = field(default_factory=lambda: array("Q"))  # the sample of each picture
    exact: array = field(default_factory=lambda: array("Q"))
    perceptual: array = field(default_factory=lambda: array("Q"))
    words: array = field(default_factory=lambda: array("I"))  # of each sample's texts
    tokens: array = field(default_factory=lambda: array("I"))
    texts: array = field(default_factory=lambda: array("Q"))  # hashes
    vocabulary: Counter[str] = field(default_factory=Counter)
    sheet: list[Image.Image] = field(default_factory=list)

    def add(self, one: Looked, length: Callable[[str], int] | None) -> None:
        """Count one sample; ``length``: a text's tokens."""
        self.looked += 1
        self.unwanted += one.unwanted
        if one.fault is not None:
            self.faults.append(one.fault)
        if one.fault is not None or one.unwanted:
            return
        for (width, height), (exact, perceptual) in zip(one.sizes, one.hashes, strict=True):
            self.widths.append(width)
            self.heights.append(height)
            self.owners.append(one.item)
            self.exact.append(exact)
            self.perceptual.append(perceptual)
        words = [word for text in one.texts for word in re.findall(r"\w+", text.lower())]
        self.words.append(len(words))
        self.texts.append(int.from_bytes(hashlib.blake2b("\0".join(one.texts).encode(), digest_size=8).digest(), "big"))
        self.vocabulary.update(words)
        if len(self.vocabulary) > 2 * VOCABULARY:
            self.vocabulary = Counter(dict(self.vocabulary.most_common(VOCABULARY)))
        if length is not None:
            self.tokens.append(sum(map(length, one.texts)))
        if one.thumbnail is not None:
            self.sheet.append(one.thumbnail)

    def summary(self) -> dict[str, Any]:
        """The numbers, for JSON."""
        repeated, pairs = repetitions(self.exact, self.owners), alike(self.exact, self.perceptual, self.owners)
        short = np.minimum(self.widths, self.heights).tolist() if len(self.widths) else []
        return {
            "samples": self.total,
            "looked_at": self.looked,
            "left_out": self.unwanted,
            "unreadable": len(self.faults),
            "pictures": len(self.widths),
            "width": spread(self.widths),
            "height": spread(self.heights),
            "short_side": spread(short),
            "same_pictures": len(repeated),
            "alike_pictures": len(pairs),
            "same_examples": repeated[:LISTED],
            "alike_examples": pairs[:LISTED],
            "words": spread(self.words),
            "tokens": spread(self.tokens),
            "without_text": int(np.count_nonzero(np.asarray(self.words) == 0)),
            "repeated_texts": len(self.texts) - len(set(self.texts)),
            "frequent_words": self.vocabulary.most_common(2 * LISTED),
        }


def spread(values: Sequence[int]) -> list[int]:
    """Least, 5 %, median, 95 % and most; empty of nothing."""
    return [int(v) for v in np.quantile(values, (0, 0.05, 0.5, 0.95, 1), method="nearest")] if len(values) else []


def repetitions(hashes: Sequence[int], owners: Sequence[int]) -> list[tuple[int, int]]:
    """(first, later) samples of pictures that are the same."""
    _, first, which = np.unique(np.asarray(hashes, np.uint64), return_index=True, return_inverse=True)
    later = np.flatnonzero(first[which] != np.arange(len(which)))
    return [(int(owners[int(first[which[n]])]), int(owners[int(n)])) for n in later]


def alike(exact: Sequence[int], perceptual: Sequence[int], owners: Sequence[int]) -> list[tuple[int, int]]:
    """(one, other) samples of pictures that look the same and are not the same.

    Of hashes that differ in three bits at most, one of the four quarters is equal: they are neighbours where the hashes
    are ordered by it. Only :data:`NEIGHBOURS` are compared, so that the time grows as the number of pictures.
    """
    same, looks = np.asarray(exact, np.uint64), np.asarray(perceptual, np.uint64)
    found: set[tuple[int, int]] = set()
    for quarter in range(4):
        turned = looks << np.uint64(16 * quarter) | looks >> np.uint64((64 - 16 * quarter) % 64)
        order = np.argsort(turned, kind="stable")
        for distance in range(1, min(NEIGHBOURS, len(order) - 1) + 1):
            a, b = order[:-distance], order[distance:]
            close = (bits(looks[a] ^ looks[b]) <= ALIKE) & (same[a] != same[b])
            pairs = ((int(owners[m]), int(owners[n])) for m, n in zip(a[close], b[close], strict=True))
            found |= {(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]}
    return sorted(found)


def bits(values: np.ndarray) -> np.ndarray:
    """How many bits of each 64-bit number are set."""
    return np.unpackbits(values.view(np.uint8).reshape(-1, 8), axis=1).sum(1)


def check_source(
    name: str,
    reader: Reader,
    length: Callable[[str], int] | None = None,
    limit: int | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> Findings:
    """Look through a source, at most ``limit`` samples.

    length: a text's tokens. workers: processes that read.
    """
    endless = len(reader) > 1e15
    count = min(len(reader), limit or (ENDLESS if endless else len(reader)))
    found = Findings(name, 0 if endless else len(reader))
    items = Items(reader, count)
    loader = DataLoader(items, batch_size=None, num_workers=workers, collate_fn=None)
    for number, one in enumerate(loader, 1):
        found.add(one, length)
        if progress is not None:
            progress(number, count)
    return found


def write_findings(found: Findings, folder: Path) -> list[Path]:
    """Write ``NAME.json``, the contact sheet ``NAME.png`` and ``NAME-faults.txt``, the latter two if there is any."""
    paths = [folder / f"{found.name}.json"]
    with writing(f"what was found to {folder}"):
        paths[0].write_text(json.dumps(found.summary(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if found.sheet:
            paths.append(folder / f"{found.name}.png")
            grid(found.sheet, COLUMNS).save(paths[-1])
        if found.faults:
            paths.append(folder / f"{found.name}-faults.txt")
            paths[-1].write_text("\n".join(found.faults) + "\n", encoding="utf-8")
    return paths


def describe_findings(found: Findings) -> list[str]:
    """The findings in a few lines."""
    values = found.summary()
    total = f"{found.total:,}" if found.total else "endless"
    lines = [f"{found.name}: {total} samples, {found.looked:,} looked at; {found.unwanted:,} left out by the settings"]

    def row(title: str, key: str, what: str = "") -> None:
        if values[key]:
            least, low, middle, high, most = values[key]
            usual = f"median {middle:,}, nine tenths {low:,} to {high:,}"
            lines.append(f"  {title:<12} {least:,} to {most:,}, {usual}{what}")

    row("width", "width", " pixels")
    row("height", "height", " pixels")
    row("words", "words", f"; {values['without_text']:,} without any, {values['repeated_texts']:,} texts come again")
    row("tokens", "tokens")
    if values["frequent_words"]:
        lines.append("  frequent     " + ", ".join(f"{word} {times:,}" for word, times in values["frequent_words"]))
    for kind, what in (("same", "pictures are a copy of an earlier one"), ("alike", "pairs of pictures look the same")):
        if values[f"{kind}_pictures"]:
            examples = ", ".join(f"{a} and {b}" for a, b in values[f"{kind}_examples"])
            lines.append(f"  {what}: {values[f'{kind}_pictures']:,}, such as samples {examples}")
    lines.append(f"  unreadable   {len(found.faults):,}")
    return [*lines, *(f"    {fault}" for fault in found.faults[:LISTED])]
