"""What a run starts from: a new model with pretrained parts, or a whole pretrained model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from janusflow.adapters import add_adapter
from janusflow.checkpoints.adapters import unfold
from janusflow.checkpoints.codecs import fit_codec, load_codec
from janusflow.checkpoints.pretrained import Bundle, load_pretrained, read_config
from janusflow.codecs.base import ImageCodec
from janusflow.codecs.vq import VQCodec
from janusflow.data.buckets import buckets_of
from janusflow.data.template import ChatTemplate
from janusflow.data.tokenizer import TextTokenizer
from janusflow.models.head import GenerationHead, HeadConfig
from janusflow.models.unified import ModelConfig, UnifiedModel
from janusflow.training.config import PartsConfig, RunConfig
from janusflow.weights import ASSETS, HUB_SETTINGS, KeyMap, load_weights, model_folder
from janusflow.worlds.source import world_of


def read_start(config: RunConfig) -> tuple[ModelConfig, ChatTemplate]:
    """Sizes and chat template of the model that the run begins with; no weights are read, nor fetched from the hub.

    Raises ``ValueError`` where a file is missing or damaged, or where the settings do not fit the model.
    """
    path, sizes, chat = config.parts.checkpoint, config.model, config.chat
    vocabulary = Path(locate(config.parts.tokenizer))
    if path is not None:
        folder = model_folder(unfold(path)[0], files=HUB_SETTINGS)
        found = read_config(folder)
        check_head(found.model.head, config.model.head, f"the model {path}")
        head, chat = config.model.head.over(found.model.head), found.chat
        shows = config.model.source_latents or found.model.source_latents
        sizes = dataclasses.replace(found.model, losses=config.model.losses, head=head, source_latents=shows)
        vocabulary = folder / "tokenizer.json"
        if sizes.has_siglip and sizes.sees_latents:
            raise ValueError(f"the model {path} has no SigLIP as REPA's target: set model.losses.repa.weight=0")
    tokenizer = TextTokenizer.from_file(vocabulary)
    if len(tokenizer) > sizes.llm.vocab_size:
        raise ValueError(f"the tokenizer has {len(tokenizer)} tokens, the LLM room for {sizes.llm.vocab_size}")
    if config.data.image_size != sizes.vision.image_size:
        raise ValueError(
            f"data.image_size {config.data.image_size} differs from model.vision.image_size {sizes.vision.image_size}"
        )
    buckets_of(config.data.buckets, sizes)
    built = head_of(sizes)
    return sizes, ChatTemplate(tokenizer, chat, built.num_tokens, built.dropped, sizes.source_latents)


def check_head(found: HeadConfig, wanted: HeadConfig, what: str) -> None:
    """Raise ``ValueError`` where ``what`` has another kind of generation head than is configured."""
    if found.kind != wanted.kind:
        raise ValueError(f"{what} has a head of the kind {found.kind!r}: set model.head={found.kind}")


def head_of(sizes: ModelConfig) -> GenerationHead:
    """The generation head of such a model, without weights."""
    with torch.device("meta"):
        return sizes.head.build(sizes.llm.hidden_size)


def build_bundle(config: RunConfig) -> Bundle:
    """The untrained model with its pretrained parts."""
    parts = config.parts
    data = world_of(config.data)
    world = data.cast if data else None
    sizes, template = read_start(config)
    if parts.checkpoint is not None:
        return build_from_checkpoint(config, parts.checkpoint, sizes, world)
    codec = load_codec(locate(parts.codec(sizes.head)))
    check_latents(config.data.image_size, sizes, codec)
    model = UnifiedModel(sizes)
    load_parts(model, parts)
    if isinstance(codec, VQCodec):
        model.head.adopt(codec.codebook)
    return Bundle(model, codec, template.tokenizer, config.chat, sampling=config.sampling, world=world)


def build_from_checkpoint(config: RunConfig, path: str, sizes: ModelConfig, world: str | None) -> Bundle:
    """A whole pretrained model, with new modules of the losses; of ``world`` if it was of that before."""
    codec = load_codec(locate(config.parts.codec(sizes.head)))  # before the model, which takes longer
    check_latents(config.data.image_size, sizes, codec)
    bundle = load_pretrained(path, dtype="stored", vae=None)  # half the memory of fp32, where it is stored so
    model = UnifiedModel(sizes)
    model.load_state_dict(bundle.model.state_dict(), strict=False)
    if config.adapter.rank:
        add_adapter(model.llm.causal_lm, config.adapter)
    world = world if bundle.world == world else None
    sampling = {**bundle.sampling, **config.sampling}
    digest = bundle.digest if config.adapter.rank else ""  # an adapter says what it belongs to
    return dataclasses.replace(bundle, model=model, codec=codec, digest=digest, world=world, sampling=sampling)


def load_parts(model: UnifiedModel, parts: PartsConfig) -> None:
    """Fill the language model and the SigLIP tower from their pretrained files."""
    if parts.llm is not None:
        load_weights(model.llm, [Path(locate(parts.llm))], dtype=torch.float32)
    if parts.vision is not None and model.vision.tower is not None:
        image_tower = KeyMap({"": "image."})  # the file has a text tower beside it
        files = [Path(locate(parts.vision))]
        load_weights(model.vision.tower, files, image_tower, ignore=("text.", "log_scale", "bias"), dtype=torch.float32)


def check_latents(side: int, sizes: ModelConfig, codec: ImageCodec) -> None:
    """Raise ``ValueError`` where the codec's latents of ``side`` pixels are not what a model of ``sizes`` takes."""
    head = head_of(sizes)
    got = codec.latent_shape(side)
    if got != head.latent_shape:
        raise ValueError(
            f"the image codec turns {side} pixels into {_shape(got)} latents, but model.head expects "
            f"{_shape(head.latent_shape)}"
        )
    fit_codec(codec, sizes)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def locate(path: str) -> str:
    """``path`` inside the package's assets if it is there, else as it stands (a local path or a hub id)."""
    inside = ASSETS / path
    return str(inside) if inside.exists() else path
