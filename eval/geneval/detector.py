"""GenEval's object detector: Mask2Former (Cheng et al. 2022, arXiv:2112.01527) of transformers, read as GenEval does.

The official script runs mmdet's Mask2Former Swin-S; the weights here are those of its authors, and the geometry and the
reading of masks follow mmdet, not ``post_process_instance_segmentation`` of transformers, which keeps other objects and
gives no boxes. A score says "HF detector" because the weights are not the same file.
Legend: Q queries, C classes, (h, w) mask logits, (H, W) image.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from eval.geneval.score import Detection

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike, NDArray
    from PIL import Image

DETECTOR = "facebook/mask2former-swin-small-coco-instance"
SHORT_EDGE = 800  # pixels of the model's input
LONGEST = 1333 / 800  # longest edge at most, in short edges
DIVISOR = 32  # the input is padded with zeros to multiples of it
TOP = 100  # pairs of query and class that become objects
PIECE = 8  # masks that are enlarged at a time

# In COCO's order, which is that of the model's classes. GenEval calls three of them by other names than COCO:
# "computer mouse", "tv remote" and "computer keyboard".
CLASSES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "computer mouse", "tv remote"),
    *("computer keyboard", "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock"),
    *("vase", "scissors", "teddy bear", "hair drier", "toothbrush"),
)


class Found(NamedTuple):
    """A detected object and its mask (H, W), bool."""

    detection: Detection
    mask: NDArray[np.bool_]


class Geometry(NamedTuple):
    """How an image became the model's input: sizes are (height, width) in pixels."""

    image: tuple[int, int]
    resized: tuple[int, int]  # what the image fills of the input, from the top left corner
    padded: tuple[int, int]  # the input


def geometry_of(height: int, width: int, short_edge: int = SHORT_EDGE) -> Geometry:
    """The shorter edge becomes ``short_edge``, unless the longer would exceed 1333/800 of it; sides round half up."""
    long_edge = round(short_edge * LONGEST)
    scale = min(short_edge / min(height, width), long_edge / max(height, width))
    resized = (max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1))
    return Geometry((height, width), resized, (_up(resized[0]), _up(resized[1])))


def read_out(
    class_logits: ArrayLike | torch.Tensor,
    mask_logits: ArrayLike | torch.Tensor,
    geometry: Geometry,
    min_score: float = 0.0,
) -> list[Found]:
    """The objects, best first, from the model's class logits (Q, C + 1), the last "no object", and masks (Q, h, w).

    The best 100 pairs of query and class: a query may stand in several. A mask is where its logits, enlarged
    bilinearly to the input, cut to the image and scaled to its size, are above 0; the score is the class's probability
    times the mean of the mask's probability over the mask; the box is the mask's extent, last index + 1. Empty masks
    are no objects (mmdet scores them 0), nor is what does not exceed ``min_score``.
    Raises ``ValueError`` for other shapes or logits that are not finite.
    """
    import torch

    classes, masks = torch.as_tensor(class_logits).float(), torch.as_tensor(mask_logits).float()
    if classes.ndim != 2 or classes.shape[1] != len(CLASSES) + 1 or masks.ndim != 3 or len(masks) != len(classes):
        raise ValueError(
            f"expected class logits (Q, {len(CLASSES) + 1}) and mask logits (Q, h, w), "
            f"got {tuple(classes.shape)} and {tuple(masks.shape)}"
        )
    if not (classes.isfinite().all() and masks.isfinite().all()):
        raise ValueError("the detector's logits are not finite")
    probabilities = classes.softmax(dim=-1)[:, :-1].flatten()  # (Q * C,), without "no object"
    values, indices = probabilities.sort(descending=True, stable=True)  # so ties are the same on every device
    pairs: dict[int, list[tuple[int, float]]] = {}  # query -> its classes and their probabilities
    for index, probability in zip(indices[:TOP].tolist(), values[:TOP].tolist(), strict=True):
        query, label = divmod(index, len(CLASSES))
        pairs.setdefault(query, []).append((label, probability))
    found = []
    for query, mask, confidence in _enlarged(masks, list(pairs), geometry):
        for label, probability in pairs[query]:
            score = probability * confidence
            if score > min_score:
                found.append(Found(Detection(CLASSES[label], score, box_of(mask)), mask))
    return sorted(found, key=lambda one: one.detection.score, reverse=True)


def box_of(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 of a mask (H, W) that is not empty: the first index, and the last + 1."""
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1)


class Detector:
    """Mask2Former from a folder of transformers; images go through it one at a time, each in its own size."""

    def __init__(self, folder: Path, device: str = "cpu", short_edge: int = SHORT_EDGE) -> None:
        """Raises ``ValueError`` for another model, or one with other classes than COCO's 80."""
        from transformers import AutoConfig, AutoImageProcessor, Mask2FormerForUniversalSegmentation

        config = AutoConfig.from_pretrained(folder)
        if config.model_type != "mask2former" or config.num_labels != len(CLASSES):
            raise ValueError(
                f"{folder} is a {config.model_type} of {config.num_labels} classes, "
                f"not a mask2former of COCO's {len(CLASSES)}"
            )
        self.processor = AutoImageProcessor.from_pretrained(folder)
        self.model = Mask2FormerForUniversalSegmentation.from_pretrained(folder).to(device).eval()
        self.device = device
        self.short_edge = short_edge

    def detect(self, image: Image.Image, min_score: float = 0.0) -> list[Found]:
        """The objects of an RGB image whose score exceeds ``min_score``, best first; see :func:`read_out`."""
        import torch

        geometry = geometry_of(image.height, image.width, self.short_edge)
        with torch.inference_mode():
            output: Any = self.model(pixel_values=self._pixels(image, geometry).to(self.device))
            return read_out(output.class_queries_logits[0], output.masks_queries_logits[0], geometry, min_score)

    def _pixels(self, image: Image.Image, geometry: Geometry) -> torch.Tensor:
        """(1, 3, *padded), normalised; the padding is zeros, as mmdet pads after normalising."""
        from torch.nn.functional import pad

        (height, width), (bottom, right) = geometry.resized, geometry.padded
        pixels: torch.Tensor = self.processor(
            images=image,
            do_resize=True,
            size={"height": height, "width": width},
            size_divisor=0,  # transformers would stretch the image to multiples of 32
            return_tensors="pt",
        )["pixel_values"]
        return pad(pixels, (0, right - width, 0, bottom - height))


def _enlarged(
    masks: torch.Tensor, queries: list[int], geometry: Geometry
) -> Iterator[tuple[int, NDArray[np.bool_], float]]:
    """Of each query that has one: its mask (H, W) and the mean probability over it. A few at a time to spare memory."""
    from torch.nn.functional import interpolate

    height, width = geometry.resized
    for start in range(0, len(queries), PIECE):
        piece = queries[start : start + PIECE]
        logits = masks[piece][:, None]  # (n, 1, h, w)
        logits = interpolate(logits, geometry.padded, mode="bilinear", align_corners=False)[..., :height, :width]
        if geometry.resized != geometry.image:
            logits = interpolate(logits, geometry.image, mode="bilinear", align_corners=False)
        for query, one in zip(piece, logits[:, 0], strict=True):
            inside = one > 0
            if inside.any():
                yield query, inside.cpu().numpy(), one[inside].sigmoid().mean().item()


def _up(side: int) -> int:
    return -(-side // DIVISOR) * DIVISOR
