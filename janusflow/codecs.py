"""Image codecs from files: VAEs for the flow head, VQ tokenizers for the autoregressive one."""

from __future__ import annotations

import json
from pathlib import Path

from diffusers import AutoencoderKL
from transformers import JanusVQVAEConfig

from janusflow.models.codec import ImageCodec
from janusflow.models.vae import LatentCodec
from janusflow.models.vq import VQCodec


def load_codec(path: str | Path, revision: str | None = None) -> ImageCodec:
    """A diffusers ``AutoencoderKL`` or ``AutoencoderTiny``, TAESD's single file, or a transformers ``JanusVQVAE``.

    A folder or hub id, told apart by its ``config.json``. Raises ``ValueError`` with the path where it is none of them.
    """
    if Path(path).suffix == ".safetensors":
        return LatentCodec.from_pretrained(path)
    try:
        config = AutoencoderKL.load_config(str(path), revision=revision)
    except (OSError, json.JSONDecodeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"no image codec at {path}: {reason}") from error
    if config.get("model_type") == JanusVQVAEConfig.model_type:
        return VQCodec.from_pretrained(path, revision)
    return LatentCodec.from_pretrained(path, revision)
