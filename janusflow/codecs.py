"""Image codecs from files: VAEs for the flow head, VQ tokenizers for the autoregressive one."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import JanusVQVAE, JanusVQVAEConfig

from janusflow import hf_janus, janus
from janusflow.models.codec import ImageCodec
from janusflow.models.vae import LatentCodec
from janusflow.models.vq import VQCodec
from janusflow.processor_files import read_json
from janusflow.weights import find_folder, load_weights, weight_files


def load_codec(path: str | Path, revision: str | None = None) -> ImageCodec:
    """A diffusers ``AutoencoderKL`` or ``AutoencoderTiny``, TAESD's single file, or a transformers ``JanusVQVAE``.

    A folder or hub id, told apart by its ``config.json``; of a whole Janus or Janus-Pro in DeepSeek's layout or
    transformers', the VQ tokenizer. Raises ``ValueError`` with the path where it is none of them.
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
    if janus.is_janus(config) or hf_janus.is_janus(config):
        return load_janus_codec(find_folder(path, revision))
    return LatentCodec.from_pretrained(path, revision)


def load_janus_codec(
    folder: Path, dtype: torch.dtype | None = torch.float32, device: torch.device | str = "cpu"
) -> VQCodec:
    """The VQ tokenizer out of the weights of a whole Janus or Janus-Pro; nothing else of them is read.

    Raises ``ValueError`` as :func:`janusflow.weights.load_weights` does.
    """
    path = folder / "config.json"
    values = read_json(path)
    layout = janus if janus.is_janus(values) else hf_janus
    with torch.device("meta"):
        vq = JanusVQVAE(layout.read_vq_config(values, str(path)))
    load_weights(vq, weight_files(folder), layout.VQ_KEYS, layout.UNUSED, dtype, device, only=layout.VQ_PREFIX)
    return VQCodec(vq)
