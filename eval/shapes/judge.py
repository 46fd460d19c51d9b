"""The judge of the shapes world's pictures, and the scores of its features: what needs a network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from eval.geneval.score import Verdict
from eval.shapes.score import Drawn, detections, embed, feature_scores
from eval.task import Drawing, Judge, Judged, Record
from janusflow.checkpoints.pretrained import ASSETS
from janusflow.parts.siglip import FILE, load_siglip
from janusflow.weights import digest
from janusflow.worlds.shapes.scenes import Split

FOLDER = ASSETS / "shapes"  # of the small SigLIP


class ShapesJudge(Judge):
    """The oracle detector, and the small SigLIP for features and the similarity of picture and prompt."""

    def __init__(self) -> None:
        self.siglip = load_siglip(FOLDER)

    @torch.inference_mode()
    def judge(self, drawings: Sequence[Drawing], images: Sequence[Image.Image]) -> list[Judged]:
        features = embed(self.siglip, images)
        cosines = (features * self.siglip.embed_texts([one.prompt for one in drawings])).sum(-1)
        return [
            Judged({"detections": [found._asdict() for found in detections(image)], "cosine": cosine}, row)
            for image, cosine, row in zip(images, cosines.tolist(), features.numpy(), strict=True)
        ]


def describe_siglip() -> str:
    """The network of the features, with its hash."""
    return f"SigLIP {digest([FOLDER / FILE])}"


def score_features(
    seen: Sequence[Judged], verdicts: Sequence[Verdict], split: Split, references: int, size: int
) -> Record:
    """The distances and the similarity of judged pictures (see :func:`eval.shapes.score.feature_scores`)."""
    features = torch.from_numpy(np.stack([one.features for one in seen if one.features is not None]))
    drawn = Drawn(list(verdicts), features, torch.tensor([one.record["cosine"] for one in seen]))
    return feature_scores(load_siglip(FOLDER), drawn, split, references, size)
