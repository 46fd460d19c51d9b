"""GenEval's colours: CLIP ViT-L/14 (Radford et al. 2021, arXiv:2103.00020), zero-shot, on an object that was cut out.

Source: Ghosh, Hajishirzi and Schmidt 2023 (arXiv:2310.11513) and the behaviour of the official script.
Legend: K colours, F forms of the prompt, D width of CLIP's embeddings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from eval.clip import CLIP
from eval.geneval.score import COLORS, Box

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

BACKGROUND = "#999999"
FORMS = ("a photo of a {color} {label}", "a photo of a {color}-colored {label}", "a photo of a {color} object")


def cut_out(image: Image.Image, mask: NDArray[np.bool_], box: Box) -> Image.Image:
    """The object alone, on grey, cropped to its box.

    Raises ``ValueError`` for a mask of another size than the image.
    """
    mask = np.asarray(mask).astype(bool)  # of 0 and 1 too, which Pillow would take for shades
    if mask.shape != (image.height, image.width):
        raise ValueError(f"a mask of {mask.shape} does not fit an image of {(image.height, image.width)}")
    background = Image.new("RGB", image.size, BACKGROUND)
    left, top, right, bottom = (round(side) for side in box)
    return Image.composite(image, background, Image.fromarray(mask)).crop((left, top, right, bottom))


def color_prompts(label: str) -> list[list[str]]:
    """What CLIP reads: the three forms of each of the ten colours, for an object of this class."""
    return [[form.format(color=color, label=label) for form in FORMS] for color in COLORS]


def average_forms(embeddings: torch.Tensor) -> torch.Tensor:
    """One unit vector a colour (K, D) from the text embeddings (K, F, D): the mean of unit vectors, normalised."""
    from torch.nn.functional import normalize

    return normalize(normalize(embeddings, dim=-1).mean(dim=1), dim=-1)


def nearest_color(image_embedding: torch.Tensor, colors: torch.Tensor) -> str:
    """The colour whose vector (of K, D) has the largest cosine with an image's embedding (D,)."""
    from torch.nn.functional import normalize

    return COLORS[int((colors @ normalize(image_embedding, dim=-1)).argmax())]


class ColorClassifier:
    """Names colours by CLIP."""

    def __init__(self, clip: CLIP) -> None:
        self.clip = clip
        self._of_class: dict[str, torch.Tensor] = {}  # class -> (K, D)

    def name_color(self, image: Image.Image, mask: NDArray[np.bool_], box: Box, label: str) -> str:
        """The colour of the object in ``mask`` (H, W), which is a ``label``, in an RGB image."""
        if label not in self._of_class:
            texts = color_prompts(label)
            flat = self.clip.embed_texts([text for forms in texts for text in forms])
            self._of_class[label] = average_forms(flat.unflatten(0, (len(texts), len(FORMS))))
        return nearest_color(self.clip.embed_images([cut_out(image, mask, box)])[0], self._of_class[label])
