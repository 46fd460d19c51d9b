"""Model folders: our own layout, DeepSeek's and transformers', written and read with safetensors.

Our layout is ``config.json`` (sizes, chat format), ``model.safetensors``, ``tokenizer.json`` and ``vae/`` or ``vq/``.
DeepSeek's are described in :mod:`.deepseek` (JanusFlow; a ``vae/`` may stand in it too) and
:mod:`.janus` (Janus, Janus-Pro), transformers' in :mod:`.transformers_janus`.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from janusflow.checkpoints import deepseek, janus, transformers_janus
from janusflow.checkpoints.codecs import check_codec, load_codec, load_janus_codec
from janusflow.checkpoints.layouts import is_deepseek
from janusflow.checkpoints.processor_files import read_chat, read_janus_chat, read_preprocessing
from janusflow.codecs.base import ImageCodec
from janusflow.codecs.vae import LatentCodec
from janusflow.codecs.vq import VQCodec
from janusflow.config import from_dict, to_dict
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.data.tokenizer import TextTokenizer
from janusflow.data.transforms import Preprocessing
from janusflow.models.unified import ModelConfig, UnifiedModel, paper_losses
from janusflow.precision import default_dtype
from janusflow.weights import (
    SAME,
    KeyMap,
    building,
    digest,
    find_folder,
    load_weights,
    read_json,
    read_shapes,
    save_weights,
    weight_files,
    writing,
)

ASSETS = Path(__file__).parents[1] / "assets"
SHIPPED = ASSETS / "janusflow-shapes"  # the checkpoint that the command line uses by default
DEFAULT_VAE = "stabilityai/sdxl-vae"

Format = Literal["janusflow", "deepseek", "transformers"]


@dataclass
class FolderConfig:
    """What ``config.json`` of our layout holds."""

    format: str = "janusflow"
    model: ModelConfig = field(default_factory=ModelConfig)
    chat: ChatConfig = field(default_factory=ChatConfig)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    sampling: dict[str, Any] = field(default_factory=dict)  # how pictures are best drawn, over the head's defaults
    world: str | None = None  # toy world that is all it knows (see janusflow.worlds.notes)

    @staticmethod
    def respell(values: dict[str, Any], below: dict[str, Any]) -> dict[str, Any]:
        """Earlier files: ``guidance`` beside the model."""
        values = dict(values)
        guidance = values.pop("guidance", None)
        return values if guidance is None else {"sampling": {"guidance": guidance}, **values}


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
        return ChatTemplate(self.tokenizer, self.chat, head.num_tokens, head.dropped)

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
) -> Bundle:
    """A model in DeepSeek's layout, transformers' or ours: a folder, a run folder (its ``model``), or a hub id.

    dtype: of the weights; default fp32 on the CPU and bf16 on CUDA; ``"stored"`` leaves them as they are.
    vae: an image codec's folder, hub id or TAESD file. ``"auto"`` is the folder's own (Janus: the VQ tokenizer in its
    weights), else the SDXL-VAE from the hub; ``"stored"`` the folder's own or none; ``"sight"`` is "auto" for models
    whose understanding looks at latents, and none for all others; None loads none. Peak memory: the weights and one
    tensor.
    Raises ``ValueError`` in one line where files are missing or damaged, or parameters unknown, missing or misshapen.
    """
    folder = find_folder(path, revision)
    device = torch.device(device)
    kept = None if dtype == "stored" else dtype or default_dtype(device)
    config = read_config(folder)
    foreign_janus = config.format != "janusflow" and config.model.head.kind == "ar"
    if vae == "sight":
        vae = "auto" if config.model.sees_latents else None
    with building(folder / "config.json"):
        model = UnifiedModel(config.model)
    files = weight_files(folder)
    codec: ImageCodec | None = None
    if foreign_janus and vae in ("auto", "stored"):
        codec, vae = load_janus_codec(folder, None if dtype == "stored" else torch.float32, device), None
    load_weights(model, files, file_keys(folder, config, files), file_extras(config), kept, device)
    tokenizer = TextTokenizer.from_file(folder / "tokenizer.json")
    if len(tokenizer) > config.model.llm.vocab_size:
        raise ValueError(
            f"{folder / 'tokenizer.json'} has {len(tokenizer)} tokens, the LLM room for {config.model.llm.vocab_size}"
        )
    if vae in ("auto", "stored"):
        own = folder / (VQCodec.folder if config.model.head.kind == "ar" else LatentCodec.folder)
        otherwise = None if vae == "stored" else own if config.format == "janusflow" else DEFAULT_VAE
        vae = own if own.exists() else otherwise
    if vae is not None:
        codec = load_codec(vae).to(device)
    if codec is not None:
        check_codec(codec, config.model)
    chat = read_janus_chat(folder, tokenizer) if foreign_janus else config.chat
    settings = (chat, config.preprocessing, config.sampling, digest(files), config.world)
    return Bundle(model.eval(), codec, tokenizer, *settings)


def read_config(folder: Path) -> FolderConfig:
    """The configuration of a model folder of any layout. Raises ``ValueError`` where it is of none."""
    path = folder / "config.json"
    values = read_json(path)
    for name, layout, matches in (
        ("transformers", transformers_janus, transformers_janus.is_janus),
        ("deepseek", janus, janus.is_janus),
        ("deepseek", deepseek, is_deepseek),
    ):
        if matches(values):
            model = layout.read_model_config(values, str(path))
            return FolderConfig(name, model, read_chat(folder), read_preprocessing(folder))
    if values.get("format") != "janusflow":
        raise ValueError(f"{path} does not describe a janusflow model")
    config = from_dict(FolderConfig, values, str(path))
    return dataclasses.replace(config, model=dataclasses.replace(config.model, losses={}))


def file_keys(folder: Path, config: FolderConfig, files: list[Path]) -> KeyMap:
    """Our parameter names to those of ``files``."""
    if config.format == "janusflow":
        return SAME
    if config.model.head.kind == "flow":
        return deepseek.JANUSFLOW_KEYS
    if config.format == "deepseek":
        return janus.model_keys(config.model)
    path = folder / "config.json"
    return transformers_janus.file_keys(config.model, read_json(path), set(read_shapes(files)), str(path))


def file_extras(config: FolderConfig) -> tuple[str, ...]:
    """Prefixes of what else stands in the same files: the VQ tokenizer of a Janus."""
    if config.format == "janusflow" or config.model.head.kind == "flow":
        return ()
    return (transformers_janus.VQ_PREFIX if config.format == "transformers" else janus.VQ_PREFIX,)


def save_pretrained(
    bundle: Bundle,
    folder: str | Path,
    layout: Format = "janusflow",
    dtype: torch.dtype | None = None,
    shard_size: str = "5GB",
) -> None:
    """Write a model folder, weights in ``dtype`` (default: as they are). Training-only parts are left out.

    The folder's ``config.json`` comes last: a folder that has one is complete. Raises ``ValueError`` for an unknown
    layout, for a model that it cannot hold, or where the folder cannot be written.
    """
    if layout not in get_args(Format):
        raise ValueError(f"unknown format {layout!r}; choose from {', '.join(get_args(Format))}")
    config = bundle.model.config
    unused = bundle.model.training_only
    weights = {
        name: value.detach().to(dtype or value.dtype)
        for name, value in bundle.model.state_dict().items()
        if not name.startswith(unused)
    }
    kind = str(dtype or next(iter(weights.values())).dtype).removeprefix("torch.")
    codec = bundle.codec
    if layout == "janusflow":
        settings = (bundle.chat, bundle.preprocessing, bundle.sampling, bundle.world)
        values = to_dict(FolderConfig("janusflow", config, *settings))
        values["model"]["losses"] = {name: {"weight": 0.0} for name in paper_losses()}  # a saved model has none
        files: dict[str, Any] = {"config.json": values}
    elif config.head.kind == "ar":
        weights, files = to_janus(bundle, layout, weights, dtype, kind)
        codec = None  # its weights are among them
    elif layout == "deepseek":
        files = deepseek.config_files(config, bundle.chat, bundle.preprocessing, kind)
        weights = stored(weights, deepseek.JANUSFLOW_KEYS)
    else:
        raise ValueError("transformers has no JanusFlow: choose the deepseek or the janusflow format")
    folder = Path(folder)
    with writing(f"the model to {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(weights, folder, shard_size)
        bundle.tokenizer.save(folder / "tokenizer.json")
        if codec is not None:
            codec.save(folder / codec.folder)
        for name, content in reversed(files.items()):
            (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def to_janus(
    bundle: Bundle, layout: Format, weights: dict[str, Tensor], dtype: torch.dtype | None, kind: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """``weights`` with the VQ tokenizer's as a layout of Janus has them, and its JSON files."""
    if not isinstance(bundle.codec, VQCodec):
        raise ValueError(f"the {layout} format holds the VQ tokenizer too: load the model with it, not --vae none")
    vq, config = bundle.codec.module, bundle.model.config
    codes = {name: value.detach().to(dtype or value.dtype) for name, value in vq.state_dict().items()}
    settings = (config, vq.config, bundle.chat, bundle.preprocessing)
    if layout == "deepseek":
        files = janus.config_files(*settings, kind)
        named = stored(weights, janus.model_keys(config)) | stored(codes, janus.VQ_KEYS)
        return named | janus.unused_weights(getattr(torch, kind)), files
    files = transformers_janus.config_files(*settings, bundle.tokenizer, kind)
    return stored(weights, transformers_janus.model_keys(config)) | stored(codes, transformers_janus.VQ_KEYS), files


def stored(weights: dict[str, Tensor], keys: KeyMap) -> dict[str, Tensor]:
    """Our weights as a file holds them."""
    return {name: view(value) for ours, value in weights.items() for name, view in keys.parts(ours).items()}
