"""Image codecs from files: VAEs for the flow head, VQ tokenizers for the autoregressive one."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import JanusVQVAEConfig

from janusflow.checkpoints.janus import JanusLayout
from janusflow.checkpoints.layouts import OwnLayout, codec_kind, find_layout
from janusflow.codecs.base import ImageCodec
from janusflow.codecs.vae import LatentCodec
from janusflow.codecs.vq import VQCodec
from janusflow.models.unified import ModelConfig
from janusflow.weights import model_folder, read_json_object


def load_codec(path: str | Path, revision: str | None = None) -> ImageCodec:
    """A diffusers VAE (``AutoencoderKL``, ``AutoencoderTiny`` or ``AutoencoderDC``), TAESD's single file, or a
    transformers ``JanusVQVAE``.

    A folder or hub id, told apart by its ``config.json``; of a whole Janus or Janus-Pro in DeepSeek's layout or
    transformers', the VQ tokenizer; of a model or run of ours, its own. Raises ``ValueError`` with the path where it is
    none of them.
    """
    if Path(path).suffix == ".safetensors":
        return LatentCodec.from_pretrained(path)
    folder = model_folder(path, revision, ("config.json",), "image codec")  # which says what else is needed
    config = read_json_object(folder / "config.json")
    if config.get("model_type") == JanusVQVAEConfig.model_type:
        return VQCodec.from_pretrained(path, revision)
    layout = find_layout(config)
    if isinstance(layout, JanusLayout):
        return layout.read_codec(model_folder(path, revision), torch.float32)
    if isinstance(layout, OwnLayout):
        folder = model_folder(path, revision)
        model = layout.read(folder, config).model
        codec = layout.codec(folder, model, True, torch.float32, torch.device("cpu"))
        assert codec is not None
        return codec
    return LatentCodec.from_pretrained(path, revision)


def fit_codec(codec: ImageCodec, config: ModelConfig) -> None:
    """Have the codec give latents as the model's head takes them.

    Raises ``ValueError`` for a codec that cannot decode what the head draws.
    """
    wanted = codec_kind(config)
    if not isinstance(codec, wanted):
        raise ValueError(f"the model draws with {wanted.what}, the image codec is {codec.what}")
    with torch.device("meta"):
        needs = config.head.build(config.llm.hidden_size).codec_size
    if codec.size != needs:
        raise ValueError(f"the image codec has {codec.size} {codec.unit}, the model's head {needs}")
    codec.give(getattr(config.head, "latents", "scaled"))
