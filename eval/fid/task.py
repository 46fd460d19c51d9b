"""MJHQ-30K and COCO-30K: how close drawn pictures are to a benchmark's real ones, as GigaGAN measures it.

The protocol is in ``eval/features/resizing.py``; the JanusFlow paper follows it for MJHQ (Table 3), on 30,000 pictures,
and on 10,000 in its ablations (Table 5). No standard 10k list exists: ours is fixed by a seed, and the score states its
hash.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image

from eval.features.extractors import FeatureExtractor, find_extractor
from eval.features.images import ImageFiles
from eval.features.reference import Reference, check_reference, find_reference, read_reference, reference_record
from eval.features.resizing import OF_REFERENCE, RESIZES
from eval.fid.prompt_lists import Prompt, read_coco, read_mjhq
from eval.fid.score import BIAS_NOTE, Naming, category_scores, protocol_of_scores, quality_scores
from eval.files import find_data, find_file
from eval.picture_folder import match_pictures
from eval.subsets import choose, evenly, list_hash
from eval.task import Drawing, Judge, Judged, Need, Question, Record, Scored, Task, Work
from janusflow.options import option

if TYPE_CHECKING:
    from torch import Tensor

CACHE = Path.home() / ".cache" / "janusflow" / "references"


@dataclass(frozen=True)
class FidOptions:
    """What is drawn, and how it is compared."""

    data: str | None = option(None, "folder of the benchmark, or a hub id of a data set that holds it")
    subset: int | None = option(None, "number of prompts, such as 10000 for an FID-10k (default: 30,000)")
    subset_seed: int = option(0, "fixes which prompts a smaller number means")
    extractor: str = option("inception", "inception, shapes, or a TorchScript file: (B, 3, 299, 299) 0..255 -> (B, D)")
    resize: str = option(
        "gigagan",
        "gigagan: central square, Lanczos to 256 first; clean: clean-fid's own alone; bicubic: gigagan, but drawn "
        "pictures by bicubic, as Janus's authors did for COCO",
        tuple(RESIZES),
    )
    reference: str | None = option(None, ".npz with reference features, or clean-fid's with mu and sigma")
    reference_images: int | None = option(None, "number of reference pictures (default: all)")
    reference_cache: str | None = option(None, f"folder where reference features are kept (default: {CACHE})")

    def __post_init__(self) -> None:
        for name in ("subset", "reference_images"):
            value = getattr(self, name)
            if value is not None and value < 2:
                raise ValueError(f"--{name.replace('_', '-')} must be at least 2, got {value}")
        if self.reference and self.reference_images:
            raise ValueError("--reference is computed already: --reference-images cannot change it")


class Prepared(NamedTuple):
    """A batch of pictures as the extractor's network takes them."""

    pixels: Tensor  # (B, 3, S, S)
    sizes: list[list[int]]  # width and height of each picture, as it was


class FeatureJudge(Judge):
    """Gives each picture's features."""

    def __init__(self, extractor: FeatureExtractor, resize: str) -> None:
        self.extractor = extractor
        self.resize = RESIZES[resize]

    def prepare(self, images: Sequence[Image.Image]) -> Prepared:
        pixels = self.extractor.pixels([self.resize(image) for image in images])
        return Prepared(pixels, [list(image.size) for image in images])

    def judge(self, drawings: Sequence[Drawing], images: Prepared) -> list[Judged]:
        features = self.extractor.features(images.pixels)
        return [Judged({"size": size}, row) for size, row in zip(images.sizes, features, strict=True)]


class FidTask(Task):
    """Prompts, one picture each, compared with real pictures in a feature space."""

    options: ClassVar[type] = FidOptions
    given: FidOptions
    benchmark: ClassVar[str]  # as a score's name begins
    prompt_count: ClassVar[int] = 30_000  # of the published protocol
    reference_count: ClassVar[int]  # likewise

    @abstractmethod
    def read_prompts(self, folder: Path) -> list[Prompt]:
        """All prompts, in a fixed order. Raises ``ValueError`` where the file is missing or damaged."""

    @abstractmethod
    def find_real(self, folder: Path) -> tuple[ImageFiles, list[str]]:
        """The real pictures, and the names of the reference's. Raises ``ValueError`` where one is missing."""

    @cached_property
    def folder(self) -> Path:
        """The benchmark's folder."""
        return find_data(self.given.data, self.name, self.needs)

    @cached_property
    def prompts(self) -> list[Prompt]:
        """All of the benchmark's prompts."""
        return self.read_prompts(self.folder)

    def prepare(self, limit: int | None = None) -> Work:
        positions = {prompt.id: position for position, prompt in enumerate(self.prompts)}
        default = min(self.prompt_count, len(self.prompts))
        chosen = choose(self.prompts, self.given.subset or default, self.given.subset_seed)
        drawings = [
            Drawing(one.id, one.text, (positions[one.id],), f"{one.category}/{one.id}.png".lstrip("/"))
            for one in chosen
        ]
        protocol = {
            "prompts": len(chosen),
            "prompts_of_all": len(self.prompts),
            "subset_seed": self.given.subset_seed,
            "list": list_hash([one.id for one in chosen]),
            "texts": list_hash([one.text for one in chosen]),
            "seeds": "each picture's is its prompt's position among all prompts",
        }
        return Work(drawings=evenly(drawings, limit, self.place), protocol=protocol)

    def place(self, item: Drawing | Question) -> tuple[str, str]:
        return self.categories.get(item.id, ""), item.id

    @cached_property
    def categories(self) -> dict[str, str]:
        """The prompts' categories by id; "" where a benchmark has none."""
        return {prompt.id: prompt.category for prompt in self.prompts}

    def find_pictures(self, folder: Path, work: Work) -> Work:
        return match_pictures(folder, work, {prompt.id for prompt in self.prompts})

    @cached_property
    def extractor(self) -> FeatureExtractor:
        """The extractor, whose network is not loaded yet."""
        return find_extractor(self.given.extractor, self.device)

    def judge_protocol(self) -> dict[str, Any]:
        protocol = {"extractor": self.extractor.describe(), "resize": self.given.resize, **protocol_of_scores()}
        if self.reference_resize != self.given.resize:
            protocol["resize of the reference"] = self.reference_resize
        if self.given.reference:
            return {**protocol, "reference": dict(self.given_reference.record)}
        files, names = self.real
        return {**protocol, "reference": reference_record(files, names, self.extractor, self.reference_resize)}

    @property
    def reference_resize(self) -> str:
        """How the real pictures are resized."""
        return OF_REFERENCE[self.given.resize]

    def load_judge(self) -> Judge:
        return FeatureJudge(self.extractor, self.given.resize)

    @cached_property
    def real(self) -> tuple[ImageFiles, list[str]]:
        """The reference's pictures, some of them if the options say so."""
        files, names = self.find_real(self.folder)
        return files, choose(names, self.given.reference_images, 0)

    @cached_property
    def given_reference(self) -> Reference:
        """The reference file. Raises ``ValueError`` where it is of another extractor or resizing."""
        assert self.given.reference is not None
        path = Path(self.given.reference)
        return check_reference(path, read_reference(path), self.extractor, self.reference_resize)

    def load_reference(self) -> Reference:
        """The reference's features, computed unless they are kept already."""
        if self.given.reference:
            return self.given_reference
        files, names = self.real
        cache = Path(self.given.reference_cache or CACHE)
        return find_reference(cache, self.name, files, names, self.extractor, self.reference_resize, self.workers)

    def departures(self, judge: Record) -> list[str]:
        """The published extractor is the Inception; the counts of pictures stand in the scores' names."""
        return [*([] if self.extractor.is_inception else [f"{self.extractor.name} features"]), *self.remarks]

    @property
    def remarks(self) -> list[str]:
        """What else departs from the published protocol."""
        told = [] if self.given.resize == "gigagan" else [f"resize {self.given.resize}"]
        if self.given.reference:
            return [*told, f"reference {Path(self.given.reference).name}"]
        count = len(self.real[1])
        return told if count == self.reference_count else [*told, f"{count} reference pictures"]

    @property
    def naming(self) -> Naming:
        """How the scores are called."""
        return Naming(self.benchmark, self.extractor.name, self.extractor.is_inception, tuple(self.remarks))

    def score(self, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str]) -> Scored:
        seen = {one.id: judged[one.id].features for one in work.drawings if one.id in judged}
        good = {name: row for name, row in seen.items() if row is not None and np.isfinite(row).all()}
        problems = {"features not finite": [name for name in seen if name not in good]}
        reference = self.load_reference()
        naming = self.naming
        features = np.stack(list(good.values())) if good else np.empty((0, reference.stats.dim), np.float32)
        scores = quality_scores(features, reference, naming)
        by_category = self.score_categories(features, list(good), reference, naming)
        details = {"pictures": len(good), "reference": dict(reference.record)}
        if by_category:
            details["note"] = BIAS_NOTE
        items = {one.id: {"scored": one.id in good} for one in work.drawings}
        return Scored(
            naming.distance(len(good)), scores | by_category, items, {k: v for k, v in problems.items() if v}, details
        )

    def resample(
        self, work: Work, judged: Mapping[str, Judged], answers: Mapping[str, str]
    ) -> Mapping[str, float | None]:
        """Nothing: a distance takes too long to be computed again and again."""
        return {}

    def score_categories(
        self, features: np.ndarray, ids: Sequence[str], reference: Reference, naming: Naming
    ) -> dict[str, float | None]:
        """Scores within categories; none where a benchmark has none."""
        return {}


class MJHQ(FidTask):
    """FID, KID, precision and recall on MJHQ-30K: 10 categories of 3,000 pictures and their prompts."""

    name = "mjhq-fid"
    title = "MJHQ-30K"
    benchmark = "MJHQ"
    reference_count = 30_000
    needs = (Need("prompts and pictures", "playgroundai/MJHQ-30K", "3.6 GB", "--data FOLDER or playgroundai/MJHQ-30K"),)
    columns = {"MJHQ FID-30k": "MJHQ FID-30k", "MJHQ-30K": "MJHQ FID-30k", "MJHQ FID-10k": "MJHQ FID-10k"}

    def read_prompts(self, folder: Path) -> list[Prompt]:
        return read_mjhq(find_file(folder, "meta_data.json"))

    def find_real(self, folder: Path) -> tuple[ImageFiles, list[str]]:
        files = ImageFiles(find_file(folder, "mjhq30k_imgs", "mjhq30k_imgs.zip"))
        return files, files.by_stem([prompt.id for prompt in self.prompts])

    def score_categories(
        self, features: np.ndarray, ids: Sequence[str], reference: Reference, naming: Naming
    ) -> dict[str, float | None]:
        real = {name: self.categories.get(PurePosixPath(name).stem, "") for name in reference.names or ()}
        return category_scores(features, [self.categories.get(name, "") for name in ids], real, reference, naming)


class COCO(FidTask):
    """FID, KID, precision and recall on COCO-30K: 30,000 captions of val2014 against all its 40,504 pictures."""

    name = "coco-fid"
    title = "COCO-30K"
    benchmark = "COCO"
    reference_count = 40_504
    needs = (
        Need("val2014 and annotations/captions_val2014.json", "https://cocodataset.org", "6.6 GB", "--data FOLDER"),
    )
    columns = {"COCO-30K": "COCO FID-30k"}

    def read_prompts(self, folder: Path) -> list[Prompt]:
        return read_coco(find_file(folder, "annotations/captions_val2014.json", "captions_val2014.json"))

    def find_real(self, folder: Path) -> tuple[ImageFiles, list[str]]:
        files = ImageFiles(find_file(folder, "val2014", "val2014.zip"))
        if not files.names:
            raise ValueError(f"{files.root} holds no pictures")
        return files, files.names
