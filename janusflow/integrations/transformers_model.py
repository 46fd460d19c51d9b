"""transformers' ``AutoModel`` over our loaders: what the module in an exported folder imports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import PreTrainedConfig, PreTrainedModel

from janusflow.checkpoints.layouts import AUTO
from janusflow.command_line import find_device
from janusflow.pipeline import Pipeline

OF_AUTO = (
    "trust_remote_code",
    "_from_auto",
    "_commit_hash",
    "adapter_kwargs",
)  # what AutoModel adds


class JanusFlowConfig(PreTrainedConfig):
    """A folder's ``config.json`` as it stands; :mod:`janusflow.checkpoints` reads it."""

    model_type = AUTO["model_type"]


class JanusFlowModel(PreTrainedModel):
    """A pipeline's model as transformers knows models; ``pipeline`` is all of it."""

    config_class = JanusFlowConfig

    def __init__(self, config: JanusFlowConfig, pipeline: Pipeline) -> None:
        super().__init__(config)
        self.pipeline, self.model = pipeline, pipeline.model

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        config: JanusFlowConfig | None = None,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device_map: torch.device | str | None = None,
        revision: str | None = None,
        **others: Any,
    ) -> JanusFlowModel:
        """A model folder or hub id. dtype: as in :func:`janusflow.load_pretrained`, or "auto": as stored.

        device_map: one device, or "auto": the best there is. Raises ``ValueError`` for what our loaders refuse, and
        for other settings of transformers.
        """
        unknown = [name for name, value in others.items() if name not in OF_AUTO and value not in (None, False)]
        if unknown:
            raise ValueError(f"a janusflow model is not loaded with {unknown[0]}={others[unknown[0]]!r}")
        if not isinstance(device_map, str | torch.device | None):
            raise ValueError(f"a janusflow model lies on one device, got device_map={device_map!r}")
        path, kind = pretrained_model_name_or_path, weights_type(dtype or torch_dtype)
        device = find_device(None if device_map == "auto" else str(device_map or "cpu"))
        pipeline = Pipeline.from_pretrained(path, dtype=kind, device=device, revision=revision)
        return cls(config or cls.config_class.from_pretrained(path, revision=revision), pipeline).eval()

    def forward(self, *batch: Any, **more: Any) -> Any:
        """:meth:`janusflow.models.unified.UnifiedModel.forward`: losses by name."""
        return self.model(*batch, **more)

    def generate(self, prompts: str | list[str], *given: Any, **options: Any) -> list[Image.Image]:
        """:meth:`janusflow.Pipeline.generate`: pictures."""
        return self.pipeline.generate(prompts, *given, **options)

    def ask(self, images: Any, question: str, **options: Any) -> str:
        """:meth:`janusflow.Pipeline.ask`: an answer."""
        return self.pipeline.ask(images, question, **options)

    def save_pretrained(self, save_directory: str | Path, **settings: Any) -> None:
        """:meth:`janusflow.Pipeline.save_pretrained`."""
        self.pipeline.save_pretrained(save_directory, **settings)

    def push_to_hub(self, repo_id: str, **settings: Any) -> str:
        """:meth:`janusflow.Pipeline.push_to_hub`."""
        return self.pipeline.push_to_hub(repo_id, **settings)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> JanusFlowModel:
        """What ``to``, ``cuda`` and ``half`` call: the image codec, no part of the weights, goes to the same device."""
        super()._apply(fn, recurse)
        if self.pipeline.codec is not None:
            self.pipeline.codec.to(self.device)
        return self


def weights_type(given: torch.dtype | str | None) -> Any:
    """What transformers calls ``dtype`` as our loaders do. Raises ``ValueError`` for a name that is none."""
    if not isinstance(given, str):
        return given
    found = "stored" if given == "auto" else getattr(torch, given, None)
    if found != "stored" and not isinstance(found, torch.dtype):
        raise ValueError(f"dtype must be a type of torch or auto, got {given!r}")
    return found
