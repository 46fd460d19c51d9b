"""CLIP from a folder of transformers: embeddings of pictures and of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_CLIP = "openai/clip-vit-large-patch14"
MAX_TOKENS = 77


class CLIP:
    """B pictures or texts to (B, C) in the space that they share."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        """Raises ``ValueError`` where the folder holds no CLIP model."""
        from transformers import AutoConfig, CLIPModel, CLIPProcessor

        try:
            kind = AutoConfig.from_pretrained(folder).model_type
            if kind != "clip":
                raise ValueError(f"it is a {kind}, not a clip")
            self.model = CLIPModel.from_pretrained(folder).to(device).eval()
            self.processor = CLIPProcessor.from_pretrained(folder)
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(f"{folder} holds no CLIP model: {str(error).strip().splitlines()[0]}") from error
        self.device = device

    def embed_images(self, images: Sequence[Image.Image]) -> Tensor:
        """The embeddings of RGB pictures."""
        pixels = self.processor.image_processor(list(images), return_tensors="pt").to(self.device)
        return self._features(self.model.get_image_features, pixels)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """The embeddings of texts, each cut at 77 tokens, the last of which still ends it."""
        limit = min(MAX_TOKENS, self.model.config.text_config.max_position_embeddings)
        tokens = self.processor.tokenizer(
            list(texts), padding=True, truncation=True, max_length=limit, return_tensors="pt"
        ).to(self.device)
        return self._features(self.model.get_text_features, tokens)

    @staticmethod
    def _features(call: Any, inputs: Mapping[str, Tensor]) -> Tensor:
        """What the model gives: a tensor, or in newer versions of transformers an object that holds it."""
        import torch

        with torch.no_grad():
            found = call(**inputs)
        features: Tensor = getattr(found, "pooler_output", found)
        return features
