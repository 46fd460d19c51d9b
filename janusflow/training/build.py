"""What a run starts from: a new model with pretrained parts, or a whole pretrained model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from janusflow.checkpoint import ASSETS, Bundle, load_pretrained
from janusflow.data.tokenizer import TextTokenizer
from janusflow.models.unified import JanusFlow, ModelConfig
from janusflow.models.vae import LatentCodec
from janusflow.weights import KeyMap, load_weights

if TYPE_CHECKING:
    from janusflow.training.config import PartsConfig, RunConfig


def build_bundle(config: RunConfig) -> Bundle:
    """The untrained model with its pretrained parts."""
    parts = config.parts
    if parts.checkpoint is not None:
        return build_from_checkpoint(config, parts.checkpoint)
    tokenizer = TextTokenizer.from_file(locate(parts.tokenizer))
    if len(tokenizer) > config.model.llm.vocab_size:
        raise ValueError(f"the tokenizer has {len(tokenizer)} tokens, the LLM room for {config.model.llm.vocab_size}")
    codec = LatentCodec.from_pretrained(locate(parts.vae))
    check_latent(config.data.image_size, config.model, codec)
    model = JanusFlow(config.model)
    load_parts(model, parts)
    return Bundle(model, codec, tokenizer, config.chat)


def build_from_checkpoint(config: RunConfig, path: str) -> Bundle:
    """A whole pretrained model, with a new REPA projector where REPA is on."""
    bundle = load_pretrained(path, dtype=torch.float32, vae=locate(config.parts.vae))
    sizes = dataclasses.replace(bundle.model.config, repa=config.model.repa)
    if sizes.repa.enabled and sizes.sees_latents:
        raise ValueError(f"the model {path} has no SigLIP as REPA's target: set model.repa.enabled=false")
    check_latent(config.data.image_size, sizes, bundle.required_codec)
    model = JanusFlow(sizes)
    model.load_state_dict(bundle.model.state_dict(), strict=False)
    return dataclasses.replace(bundle, model=model, digest="")


def load_parts(model: JanusFlow, parts: PartsConfig) -> None:
    """Fill the language model and the SigLIP tower from their pretrained files."""
    if parts.llm is not None:
        load_weights(model.llm, [Path(locate(parts.llm))], dtype=torch.float32)
    if parts.vision is not None and model.vision.tower is not None:
        image_tower = KeyMap({"": "image."})  # the file has a text tower beside it
        files = [Path(locate(parts.vision))]
        load_weights(model.vision.tower, files, image_tower, ignore=("text.", "log_scale", "bias"), dtype=torch.float32)


def check_latent(side: int, sizes: ModelConfig, codec: LatentCodec) -> None:
    """Raise ``ValueError`` where the VAE's latents of ``side`` pixels are not what the flow head takes."""
    head = sizes.flow_head
    got = (codec.channels, side // codec.factor)
    if got != (head.latent_channels, head.latent_size):
        raise ValueError(
            f"the VAE turns {side} pixels into {got[0]} x {got[1]} x {got[1]} latents, but model.flow_head expects "
            f"{head.latent_channels} x {head.latent_size} x {head.latent_size}"
        )
    if side != sizes.vision.image_size:
        raise ValueError(f"data.image_size {side} differs from model.vision.image_size {sizes.vision.image_size}")


def locate(path: str) -> str:
    """``path`` inside the package's assets if it is there, else as it stands (a local path or a hub id)."""
    inside = ASSETS / path
    return str(inside) if inside.exists() else path
