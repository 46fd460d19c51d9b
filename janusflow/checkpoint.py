"""Model folders: our own layout and DeepSeek's, written and read with safetensors.

Our layout is ``config.json`` (sizes, chat format), ``model.safetensors``, ``tokenizer.json`` and ``vae/``.
DeepSeek's is described in :mod:`janusflow.deepseek`; a ``vae/`` may stand in it too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from torch import Tensor

from janusflow import deepseek
from janusflow.codecs import load_codec
from janusflow.config import from_dict, to_dict
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.data.tokenizer import TextTokenizer
from janusflow.data.transforms import Preprocessing
from janusflow.models.codec import ImageCodec
from janusflow.models.unified import ModelConfig, UnifiedModel
from janusflow.precision import default_dtype
from janusflow.weights import SAME, digest, load_weights, save_weights, weight_files

ASSETS = Path(__file__).parent / "assets"
SHIPPED = ASSETS / "janusflow-shapes"  # the checkpoint that the command line uses by default
DEFAULT_VAE = "stabilityai/sdxl-vae"
HUB_FILES = ("*.json", "*.safetensors", "vae/*")  # what a model needs; never pickles

Format = Literal["janusflow", "deepseek"]


@dataclass
class FolderConfig:
    """What ``config.json`` of our layout holds."""

    format: str = "janusflow"
    model: ModelConfig = field(default_factory=ModelConfig)
    chat: ChatConfig = field(default_factory=ChatConfig)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)


@dataclass
class Bundle:
    """A model with everything that running it takes."""

    model: UnifiedModel
    codec: ImageCodec | None  # None: answers and latents only
    tokenizer: TextTokenizer
    chat: ChatConfig = field(default_factory=ChatConfig)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    digest: str = ""  # first 12 hex digits of the weights' SHA-256

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
                "the model was loaded without an image codec (vae=None), so it gives latents and no images"
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
    """A model in DeepSeek's layout or ours: a folder, a run folder (its ``model``), or a hub id.

    dtype: of the weights; default fp32 on the CPU and bf16 on CUDA; ``"stored"`` leaves them as they are.
    vae: a folder, hub id or TAESD file; ``"auto"`` is the folder's own ``vae/``, else the SDXL-VAE from the hub; None
    loads none. Peak memory: the weights and one tensor.
    Raises ``ValueError`` in one line where files are missing or damaged, or parameters unknown, missing or misshapen.
    """
    folder = find_folder(path, revision)
    device = torch.device(device)
    kept = None if dtype == "stored" else dtype or default_dtype(device)
    config = read_config(folder)
    with torch.device("meta"):
        model = UnifiedModel(config.model)
    files = weight_files(folder)
    keys = SAME if config.format == "janusflow" else deepseek.JANUSFLOW_KEYS
    load_weights(model, files, keys, dtype=kept, device=device)
    tokenizer = TextTokenizer.from_file(folder / "tokenizer.json")
    if len(tokenizer) > config.model.llm.vocab_size:
        raise ValueError(
            f"{folder / 'tokenizer.json'} has {len(tokenizer)} tokens, the LLM room for {config.model.llm.vocab_size}"
        )
    if vae == "auto":
        own = folder / ("vae" if config.model.head == "flow" else "vq")
        vae = own if own.exists() or config.format == "janusflow" else DEFAULT_VAE
    codec = None if vae is None else load_codec(vae).to(device)
    return Bundle(model.eval(), codec, tokenizer, config.chat, config.preprocessing, digest(files))


def find_folder(path: str | Path, revision: str | None = None) -> Path:
    """The local folder that holds ``config.json``: ``path``, its ``model``, or a download from the hub."""
    for folder in (Path(path), Path(path) / "model"):
        if (folder / "config.json").exists():
            return folder
    if Path(path).exists() or str(path).count("/") != 1:
        raise ValueError(f"no model at {path}: there is no config.json in it")
    try:
        return Path(snapshot_download(str(path), revision=revision, allow_patterns=list(HUB_FILES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"no model at {path}: not a local folder, and the hub did not give it ({reason})") from error


def read_config(folder: Path) -> FolderConfig:
    """The configuration of a model folder of either layout. Raises ``ValueError`` where it is neither."""
    path = folder / "config.json"
    values = deepseek.read_json(path)
    if deepseek.is_deepseek(values):
        return FolderConfig(
            "deepseek",
            deepseek.read_model_config(values, str(path)),
            deepseek.read_chat(folder),
            deepseek.read_preprocessing(folder),
        )
    if values.get("format") != "janusflow":
        raise ValueError(f"{path} does not describe a janusflow model")
    return from_dict(FolderConfig, values, str(path))


def save_pretrained(
    bundle: Bundle,
    folder: Path,
    layout: Format = "janusflow",
    dtype: torch.dtype | None = None,
    shard_size: str = "5GB",
) -> None:
    """Write a model folder, weights in ``dtype`` (default: as they are). Training-only parts are left out.

    The folder's ``config.json`` comes last: a folder that has one is complete. Raises ``ValueError`` for an unknown
    layout or where the folder cannot be written.
    """
    if layout not in get_args(Format):
        raise ValueError(f"unknown format {layout!r}; choose from {', '.join(get_args(Format))}")
    config = bundle.model.config
    unused = training_only(config)
    weights = {
        name: value.detach().to(dtype or value.dtype)
        for name, value in bundle.model.state_dict().items()
        if not name.startswith(unused)
    }
    if layout == "janusflow":
        values = to_dict(FolderConfig("janusflow", config, bundle.chat, bundle.preprocessing))
        values["model"]["repa"]["enabled"] = False  # its projector is not saved
        files: dict[str, Any] = {"config.json": values}
    else:
        image_tokens = bundle.model.head.num_tokens
        kind = str(next(iter(weights.values())).dtype).removeprefix("torch.")
        files = deepseek.config_files(config, bundle.chat, bundle.preprocessing, image_tokens, kind)
        weights = {deepseek.JANUSFLOW_KEYS.stored(name): value for name, value in weights.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(weights, folder, shard_size)
        bundle.tokenizer.save(folder / "tokenizer.json")
        if bundle.codec is not None:
            bundle.codec.save(folder / bundle.codec.folder)
        for name, content in reversed(files.items()):
            (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot write the model to {folder}: {error.strerror or error}") from error


def training_only(config: ModelConfig) -> tuple[str, ...]:
    """Prefixes of the parameters that are no part of a saved or released model."""
    return ("projector.", "vision.tower.") if config.sees_latents else ("projector.",)
