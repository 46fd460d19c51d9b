"""What a run starts from: a new model with pretrained parts, or a whole pretrained model."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from janusflow.checkpoints.codecs import check_codec, load_codec
from janusflow.checkpoints.pretrained import ASSETS, Bundle, load_pretrained, read_config
from janusflow.codecs.base import ImageCodec
from janusflow.codecs.vq import VQCodec
from janusflow.data.template import ChatTemplate
from janusflow.data.tokenizer import TextTokenizer
from janusflow.models.head import GenerationHead
from janusflow.models.unified import ModelConfig, UnifiedModel, build_head
from janusflow.weights import HUB_SETTINGS, KeyMap, load_weights, model_folder
from janusflow.worlds.notes import SHAPES

if TYPE_CHECKING:
    from janusflow.training.config import PartsConfig, RunConfig


def read_start(config: RunConfig) -> tuple[ModelConfig, ChatTemplate]:
    """Sizes and chat template of the model that the run begins with; no weights are read, nor fetched from the hub.

    Raises ``ValueError`` where a file is missing or damaged, or where the settings do not fit the model.
    """
    path, sizes, chat = config.parts.checkpoint, config.model, config.chat
    vocabulary = Path(locate(config.parts.tokenizer))
    if path is not None:
        folder = model_folder(path, files=HUB_SETTINGS)
        found = read_config(folder)
        sizes, chat = dataclasses.replace(found.model, repa=config.model.repa), found.chat
        vocabulary = folder / "tokenizer.json"
        if sizes.head != config.model.head:
            raise ValueError(f"the model {path} has a head of the kind {sizes.head!r}: set model.head={sizes.head}")
        if sizes.repa.enabled and sizes.sees_latents:
            raise ValueError(f"the model {path} has no SigLIP as REPA's target: set model.repa.enabled=false")
    tokenizer = TextTokenizer.from_file(vocabulary)
    if len(tokenizer) > sizes.llm.vocab_size:
        raise ValueError(f"the tokenizer has {len(tokenizer)} tokens, the LLM room for {sizes.llm.vocab_size}")
    if config.data.image_size != sizes.vision.image_size:
        raise ValueError(
            f"data.image_size {config.data.image_size} differs from model.vision.image_size {sizes.vision.image_size}"
        )
    head = head_of(sizes)
    return sizes, ChatTemplate(tokenizer, chat, head.num_tokens, head.dropped)


def head_of(sizes: ModelConfig) -> GenerationHead:
    """The generation head of such a model, without weights."""
    with torch.device("meta"):
        return build_head(sizes)


def build_bundle(config: RunConfig) -> Bundle:
    """The untrained model with its pretrained parts."""
    parts = config.parts
    world = None if config.data.sources else SHAPES
    sizes, template = read_start(config)
    if parts.checkpoint is not None:
        return build_from_checkpoint(config, parts.checkpoint, sizes, world)
    codec = load_codec(locate(parts.codec(sizes.head)))
    check_latents(config.data.image_size, sizes, codec)
    model = UnifiedModel(sizes)
    load_parts(model, parts)
    if isinstance(codec, VQCodec):
        adopt_codebook(model, codec)
    return Bundle(model, codec, template.tokenizer, config.chat, guidance=config.preview.guidance, world=world)


def build_from_checkpoint(config: RunConfig, path: str, sizes: ModelConfig, world: str | None) -> Bundle:
    """A whole pretrained model, with a new REPA projector where REPA is on; of ``world`` if it was of that before."""
    codec = load_codec(locate(config.parts.codec(sizes.head)))  # before the model, which takes longer
    check_latents(config.data.image_size, sizes, codec)
    bundle = load_pretrained(path, dtype=torch.float32, vae=None)
    model = UnifiedModel(sizes)
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


def check_latents(side: int, sizes: ModelConfig, codec: ImageCodec) -> None:
    """Raise ``ValueError`` where the codec's latents of ``side`` pixels are not what a model of ``sizes`` takes."""
    head = head_of(sizes)
    got = codec.latent_shape(side)
    if got != head.latent_shape:
        raise ValueError(
            f"the image codec turns {side} pixels into {_shape(got)} latents, but model.{sizes.head}_head expects "
            f"{_shape(head.latent_shape)}"
        )
    check_codec(codec, sizes)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def locate(path: str) -> str:
    """``path`` inside the package's assets if it is there, else as it stands (a local path or a hub id)."""
    inside = ASSETS / path
    return str(inside) if inside.exists() else path
