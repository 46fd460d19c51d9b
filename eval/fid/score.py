"""FID, KID, precision and recall from features, under names that say what was compared. No network, no picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from eval.features.frechet import GaussianStats, frechet_distance
from eval.features.kid import SUBSET_SIZE, SUBSETS, kid_of_subsets
from eval.features.precision_recall import NEIGHBOURS, precision_recall
from eval.features.reference import Reference

BIAS_NOTE = (
    "A Fréchet distance of few pictures is too large: those of the categories compare with each other and with equal "
    "counts, not with the one of all pictures."
)


class Naming(NamedTuple):
    """What a score's name must say so that it is not taken for another."""

    benchmark: str  # such as "MJHQ"
    extractor: str
    is_inception: bool
    remarks: tuple[str, ...] = ()  # what departs from the published protocol

    def distance(self, count: int | None) -> str:
        """The name of the Fréchet distance of ``count`` pictures: "MJHQ FID-10k" is never "MJHQ FID-30k"."""
        many = "" if count is None else short_count(count)
        if self.is_inception:
            return f"{self.benchmark} FID{'-' * bool(many)}{many}".lstrip() + self._ending()
        what = f"{self.benchmark} Fréchet distance ({self.extractor} features, not FID)".lstrip()
        return what + (f" of {many} pictures" if many else "") + self._ending()

    def other(self, what: str) -> str:
        """The name of another score on the same features."""
        return what if self.is_inception else f"{what} ({self.extractor} features)"

    def _ending(self) -> str:
        return f" ({', '.join(self.remarks)})" if self.remarks else ""


def short_count(count: int) -> str:
    """30000 -> "30k"; 29999 stays."""
    return f"{count // 1000}k" if count and count % 1000 == 0 else str(count)


def distance_to(features: np.ndarray, stats: GaussianStats) -> float | None:
    """The Fréchet distance of features (N, D) to a reference; None of fewer than two."""
    if len(features) < 2:
        return None
    return frechet_distance(GaussianStats.of(features), stats)


def quality_scores(features: np.ndarray, reference: Reference, naming: Naming) -> dict[str, float | None]:
    """The distance first, then KID and its spread, precision and recall; None where there are too few pictures.

    features: (N, D) of the generated pictures. The scores other than the distance need the reference's own features.
    """
    distance: dict[str, float | None] = {naming.distance(len(features)): distance_to(features, reference.stats)}
    real = np.empty((0, 1)) if reference.features is None else reference.features
    return distance | feature_scores(features, real, naming)


def feature_scores(features: np.ndarray, real: np.ndarray, naming: Naming) -> dict[str, float | None]:
    """KID and its spread, precision and recall of features (N, D) and (M, D); None where there are too few."""
    fewest = min(len(features), len(real))
    kid = kid_of_subsets(features, real) if fewest >= 2 else None
    manifold = precision_recall(features, real) if fewest > NEIGHBOURS else None
    return {
        naming.other("KID"): kid.value if kid else None,
        naming.other("KID, standard deviation between subsets"): kid.std if kid else None,
        naming.other("precision"): manifold.precision if manifold else None,
        naming.other("recall"): manifold.recall if manifold else None,
    }


def protocol_of_scores() -> dict[str, str]:
    """How :func:`quality_scores` computes what it does, in words."""
    return {
        "distance": "unbiased covariances, float64, trace of the root from singular values",
        "kid": f"mean of {SUBSETS} subsets of up to {SUBSET_SIZE} pictures, seed 0; kernel (x·y/D + 1)³",
        "precision_recall": f"k = {NEIGHBOURS}, all pictures of both sides",
    }


def category_scores(
    features: np.ndarray,
    categories: Sequence[str],
    real_categories: Mapping[str, str],
    reference: Reference,
    naming: Naming,
) -> dict[str, float | None]:
    """The distance within each category, in alphabetical order.

    features, categories: of the generated pictures, one each; real_categories: by name in the reference.
    Empty where the reference does not hold features.
    """
    if reference.features is None or reference.names is None:
        return {}
    ours = np.array(categories)
    theirs = np.array([real_categories.get(name, "") for name in reference.names])
    scores: dict[str, float | None] = {}
    for category in sorted(set(categories) - {""}):
        part, real = features[ours == category], reference.features[theirs == category]
        value = distance_to(part, GaussianStats.of(real)) if len(real) >= 2 else None
        scores[f"{category}: {naming._replace(remarks=()).distance(len(part))}"] = value
    return scores
