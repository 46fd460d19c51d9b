"""What a run starts from: a new model with pretrained parts, or a whole pretrained model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from janusflow.checkpoint import ASSETS, Bundle, load_pretrained
from janusflow.codecs import check_codec, load_codec
from janusflow.data.tokenizer import TextTokenizer
from janusflow.models.codec import ImageCodec
from janusflow.models.unified import UnifiedModel
from janusflow.models.vq import VQCodec
from janusflow.weights import KeyMap, load_weights
from janusflow.worlds import SHAPES

if TYPE_CHECKING:
    from janusflow.training.config import PartsConfig, RunConfig


def build_bundle(config: RunConfig) -> Bundle:
    """The untrained model with its pretrained parts."""
    parts = config.parts
    world = None if config.data.sources else SHAPES
    if parts.checkpoint is not None:
        return build_from_checkpoint(config, parts.checkpoint, world)
    tokenizer = TextTokenizer.from_file(locate(parts.tokenizer))
    if len(tokenizer) > config.model.llm.vocab_size:
        raise ValueError(f"the tokenizer has {len(tokenizer)} tokens, the LLM room for {config.model.llm.vocab_size}")
    codec = load_codec(locate(parts.codec(config.model.head)))
    model = UnifiedModel(config.model)
    check_latents(config.data.image_size, model, codec)
    load_parts(model, parts)
    if isinstance(codec, VQCodec):
        adopt_codebook(model, codec)
    return Bundle(model, codec, tokenizer, config.chat, guidance=config.preview.guidance, world=world)


def build_from_checkpoint(config: RunConfig, path: str, world: str | None) -> Bundle:
    """A whole pretrained model, with a new REPA projector where REPA is on; of ``world`` if it was of that before."""
    bundle = load_pretrained(path, dtype=torch.float32, vae=None)
    sizes = dataclasses.replace(bundle.model.config, repa=config.model.repa)
    if sizes.head != config.model.head:
        raise ValueError(f"the model {path} has a head of the kind {sizes.head!r}: set model.head={sizes.head}")
    if sizes.repa.enabled and sizes.sees_latents:
        raise ValueError(f"the model {path} has no SigLIP as REPA's target: set model.repa.enabled=false")
    codec = load_codec(locate(config.parts.codec(sizes.head)))
    model = UnifiedModel(sizes)
    check_latents(config.data.image_size, model, codec)
    model.load_state_dict(bundle.model.state_dict(), strict=False)
    world = world if bundle.world == world else None
    return dataclasses.replace(bundle, model=model, codec=codec, digest="", world=world)


def load_parts(model: UnifiedModel, parts: PartsConfig) -> None:
    """Fill the language model and the SigLIP tower from their pretrained files."""
    if parts.llm is not None:
        load_weights(model.llm, [Path(locate(parts.llm))], dtype=torch.float32)
    if parts.vision is not None and model.vision.tower is not None:
        image_tower = KeyMap({"": "image."})  # the file has a text tower beside it
        files = [Path(locate(parts.vision))]
        load_weights(model.vision.tower, files, image_tower, ignore=("text.", "log_scale", "bias"), dtype=torch.float32)


@torch.no_grad()
def adopt_codebook(model: UnifiedModel, codec: VQCodec) -> None:
    """Let the codes' embedding begin as the codebook, where it is as wide, which is what Janus embeds codes by."""
    embedding = model.head.encoder.weight
    assert isinstance(embedding, torch.Tensor)
    if embedding.shape == codec.codebook.shape:
        embedding.copy_(codec.codebook)


def check_latents(side: int, model: UnifiedModel, codec: ImageCodec) -> None:
    """Raise ``ValueError`` where the codec's latents of ``side`` pixels are not what the model's head takes."""
    head, sizes = model.head, model.config
    got = codec.latent_shape(side)
    if got != head.latent_shape:
        raise ValueError(
            f"the image codec turns {side} pixels into {_shape(got)} latents, but model.{sizes.head}_head expects "
            f"{_shape(head.latent_shape)}"
        )
    check_codec(codec, sizes)
    if side != sizes.vision.image_size:
        raise ValueError(f"data.image_size {side} differs from model.vision.image_size {sizes.vision.image_size}")


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def locate(path: str) -> str:
    """``path`` inside the package's assets if it is there, else as it stands (a local path or a hub id)."""
    inside = ASSETS / path
    return str(inside) if inside.exists() else path
