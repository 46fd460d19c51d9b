"""Model folders of any layout (see :mod:`.layouts`), written and read with safetensors."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from janusflow.checkpoints.adapters import apply_adapter, unfold
from janusflow.checkpoints.codecs import fit_codec, load_codec
from janusflow.checkpoints.layouts import FolderConfig, Layout, choose_layout, find_layout
from janusflow.codecs.base import ImageCodec
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.data.tokenizer import TextTokenizer
from janusflow.data.transforms import Preprocessing
from janusflow.models.unified import UnifiedModel
from janusflow.precision import default_dtype
from janusflow.weights import (
    building,
    digest,
    load_weights,
    model_folder,
    read_json_object,
    safetensors_files,
    save_weights,
    writing,
)

DEFAULT = "shapes-flow"  # the model that the command line uses


@dataclass
class Bundle:
    """A model with everything that running it takes."""

    model: UnifiedModel
    codec: ImageCodec | None  # None: answers and latents only
    tokenizer: TextTokenizer
    chat: ChatConfig = field(default_factory=ChatConfig)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    sampling: dict[str, Any] = field(default_factory=dict)  # how pictures are best drawn, over the head's defaults
    digest: str = ""  # first 12 hex digits of the weights' SHA-256
    world: str | None = None  # toy world that is all it knows
    noted: set[str] = field(default_factory=set, repr=False, compare=False)  # what was said of it already

    @property
    def template(self) -> ChatTemplate:
        """The chat template at this model's number of image tokens."""
        head = self.model.head
        source_latents = self.model.config.source_latents
        return ChatTemplate(self.tokenizer, self.chat, head.num_tokens, head.dropped, source_latents)

    def sight(self, pixels: Tensor) -> Tensor:
        """What the model's understanding takes for pixels (B, 3, S, S) in [-1, 1]: themselves, or their latents."""
        return self.required_codec.encode(pixels) if self.model.config.sees_latents else pixels

    @property
    def required_codec(self) -> ImageCodec:
        """The codec. Raises ``ValueError`` where the model was loaded without one."""
        if self.codec is None:
            raise ValueError(
                "this needs an image codec, and the model was loaded without one (--vae none, in Python vae=None)"
            )
        return self.codec


def load_pretrained(
    path: str | Path,
    *,
    dtype: torch.dtype | Literal["stored"] | None = None,
    device: torch.device | str = "cpu",
    revision: str | None = None,
    vae: str | Path | None = "auto",
    adapter: str | Path | None = None,
) -> Bundle:
    """A model in DeepSeek's layout, transformers' or ours: a folder, a run folder (its ``model``), or a hub id.

    A folder that holds an adapter is loaded with the model that it names. adapter: one to merge into the weights, a
    folder, run folder or hub id.
    dtype: of the weights; default fp32 on the CPU and bf16 on CUDA; ``"stored"`` leaves them as they are.
    vae: an image codec's folder, hub id or TAESD file. ``"auto"`` is the folder's own (Janus: the VQ tokenizer in its
    weights), else the SDXL-VAE from the hub; ``"stored"`` the folder's own or none; ``"sight"`` is "auto" for models
    whose understanding looks at latents, and none for all others; None loads none. Peak memory: the weights and one
    tensor.
    Raises ``ValueError`` in one line where files are missing or damaged, or parameters unknown, missing or misshapen.
    """
    path, adapters = unfold(path)
    folder = model_folder(path, revision)
    device = torch.device(device)
    kept = None if dtype == "stored" else dtype or default_dtype(device)
    values, layout = read_layout(folder)
    config = layout.read(folder, values)
    if vae == "sight":
        vae = "auto" if config.model.sees_latents else None
    with building(folder / "config.json"):
        model = UnifiedModel(config.model)
    files = safetensors_files(folder)
    load_weights(model, files, layout.file_keys(config.model, folder, values, files), layout.extras, kept, device)
    tokenizer = TextTokenizer.from_file(folder / "tokenizer.json")
    if len(tokenizer) > config.model.llm.vocab_size:
        raise ValueError(
            f"{folder / 'tokenizer.json'} has {len(tokenizer)} tokens, the LLM room for {config.model.llm.vocab_size}"
        )
    codec: ImageCodec | None = None
    if vae in ("auto", "stored"):
        codec_dtype = None if dtype == "stored" else torch.float32
        codec = layout.codec(folder, config.model, vae == "auto", codec_dtype, device)
    elif vae is not None:
        codec = load_codec(vae).to(device)
    if codec is not None:
        fit_codec(codec, config.model)
    chat = layout.chat(folder, config, tokenizer)
    settings = (chat, config.preprocessing, config.sampling, digest(files), config.world)
    bundle = Bundle(model.eval(), codec, tokenizer, *settings)
    for one in [*adapters, *([] if adapter is None else [adapter])]:
        bundle = apply_adapter(bundle, one)
    return bundle


def read_layout(folder: Path) -> tuple[dict[str, Any], Layout]:
    """What a model folder's ``config.json`` holds, and its layout. Raises ``ValueError`` where it is of none."""
    values = read_json_object(folder / "config.json")
    layout = find_layout(values)
    if layout is None:
        raise ValueError(f"{folder / 'config.json'} does not describe a janusflow model")
    return values, layout


def read_config(folder: Path) -> FolderConfig:
    """The configuration of a model folder of any layout. Raises ``ValueError`` where it is of none."""
    values, layout = read_layout(folder)
    return layout.read(folder, values)


def save_pretrained(
    bundle: Bundle,
    folder: str | Path,
    layout: str = "janusflow",
    dtype: torch.dtype | None = None,
    shard_size: str = "5GB",
) -> None:
    """Write a model folder, weights in ``dtype`` (default: as they are). Training-only parts are left out.

    layout: janusflow, deepseek or transformers. The folder's ``config.json`` comes last: a folder that has one is
    complete. Raises ``ValueError`` for an unknown layout, for a model that it cannot hold, or where the folder cannot
    be written.
    """
    chosen = choose_layout(layout, bundle.model.config)
    unused = bundle.model.training_only
    weights = {
        name: value.detach().to(dtype or value.dtype)
        for name, value in bundle.model.state_dict().items()
        if not name.startswith(unused)
    }
    export = chosen.export(bundle, weights, dtype)
    folder = Path(folder)
    with writing(f"the model to {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(export.weights, folder, shard_size)
        bundle.tokenizer.save(folder / "tokenizer.json")
        if export.codec is not None:
            export.codec.save(folder / export.codec.folder)
        for name, content in reversed(export.files.items()):
            text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            (folder / name).write_text(text, encoding="utf-8")
