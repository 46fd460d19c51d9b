"""Image codecs from files: VAEs for the flow head, VQ tokenizers for the autoregressive one."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import JanusVQVAE, JanusVQVAEConfig

from janusflow.checkpoints import janus, transformers_janus
from janusflow.codecs.base import ImageCodec
from janusflow.codecs.vae import LatentCodec
from janusflow.codecs.vq import VQCodec
from janusflow.models.unified import ModelConfig
from janusflow.weights import building, find_folder, load_weights, read_json, weight_files


def load_codec(path: str | Path, revision: str | None = None) -> ImageCodec:
    """A diffusers ``AutoencoderKL`` or ``AutoencoderTiny``, TAESD's single file, or a transformers ``JanusVQVAE``.

    A folder or hub id, told apart by its ``config.json``; of a whole Janus or Janus-Pro in DeepSeek's layout or
    transformers', the VQ tokenizer; of a model or run of ours, its own. Raises ``ValueError`` with the path where it is
    none of them.
    """
    if Path(path).suffix == ".safetensors":
        return LatentCodec.from_pretrained(path)
    folder = find_folder(path, revision, ("config.json",), "image codec")  # which says what else is needed
    config = read_json(folder / "config.json")
    if config.get("model_type") == JanusVQVAEConfig.model_type:
        return VQCodec.from_pretrained(path, revision)
    if janus.is_janus(config) or transformers_janus.is_janus(config):
        return load_janus_codec(find_folder(path, revision))
    if config.get("format") == "janusflow":
        folder = find_folder(path, revision)
        for kind in (VQCodec, LatentCodec):
            if (folder / kind.folder / "config.json").exists():
                return kind.from_pretrained(folder / kind.folder)
    return LatentCodec.from_pretrained(path, revision)


def check_codec(codec: ImageCodec, config: ModelConfig) -> None:
    """Raise ``ValueError`` for a codec that cannot decode what the model's head draws."""
    with torch.device("meta"):
        head = config.head.build(config.llm.hidden_size)
    wanted = LatentCodec if head.latent_dtype.is_floating_point else VQCodec
    if not isinstance(codec, wanted):
        raise ValueError(f"the model draws with {wanted.what}, the image codec is {codec.what}")
    if codec.size != head.codec_size:
        raise ValueError(f"the image codec has {codec.size} {codec.unit}, the model's head {head.codec_size}")


def load_janus_codec(
    folder: Path, dtype: torch.dtype | None = torch.float32, device: torch.device | str = "cpu"
) -> VQCodec:
    """The VQ tokenizer out of the weights of a whole Janus or Janus-Pro; nothing else of them is read.

    Raises ``ValueError`` as :func:`janusflow.weights.load_weights` does.
    """
    path = folder / "config.json"
    values = read_json(path)
    layout = janus if janus.is_janus(values) else transformers_janus
    with building(path, "VQ tokenizer"):
        vq = JanusVQVAE(layout.read_vq_config(values, str(path)))
    load_weights(vq, weight_files(folder), layout.VQ_KEYS, layout.UNUSED, dtype, device, only=layout.VQ_PREFIX)
    return VQCodec(vq)
