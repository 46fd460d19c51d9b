"""Layouts of model folders: what each of them has to know, our own, and what those of released checkpoints share.

Ours is ``config.json`` (sizes, chat format), ``model.safetensors``, ``tokenizer.json`` and ``vae/`` or ``vq/``, and the
module that transformers' Auto classes ask for.
:mod:`.deepseek` (JanusFlow) and :mod:`.janus` (Janus, Janus-Pro) are DeepSeek's, :mod:`.transformers_janus` is
transformers'.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor

from janusflow.checkpoints.processor_files import read_chat, read_preprocessing
from janusflow.codecs.base import ImageCodec
from janusflow.codecs.vae import LatentCodec
from janusflow.codecs.vq import VQCodec
from janusflow.config import from_dict, to_dict
from janusflow.data.template import ChatConfig
from janusflow.data.tokenizer import TextTokenizer
from janusflow.data.transforms import Preprocessing
from janusflow.models.llm import LLMConfig
from janusflow.models.unified import ModelConfig, paper_losses
from janusflow.registry import Registry
from janusflow.weights import SAME, KeyMap, read_json_object

if TYPE_CHECKING:
    from janusflow.checkpoints.pretrained import Bundle

LAYOUTS: Registry[type[Layout]] = Registry(
    "layout",
    "janusflow.layouts",
    {
        "janusflow": "janusflow.checkpoints.layouts:OwnLayout",
        "deepseek": "janusflow.checkpoints.deepseek:JanusFlowLayout",
        "deepseek-janus": "janusflow.checkpoints.janus:DeepSeekJanusLayout",
        "transformers": "janusflow.checkpoints.transformers_janus:TransformersJanusLayout",
    },
)

MODULE = "modeling_janusflow"
CODE = '"""For transformers\' Auto classes: the installed janusflow."""\n\n' + (
    "from janusflow.integrations.transformers_model import JanusFlowConfig, JanusFlowModel  # noqa: F401\n"
)
AUTO = {  # of config.json: what transformers reads there
    "model_type": "janusflow",
    "architectures": ["JanusFlowModel"],
    "auto_map": {"AutoConfig": f"{MODULE}.JanusFlowConfig", "AutoModel": f"{MODULE}.JanusFlowModel"},
}


@dataclass
class FolderConfig:
    """What ``config.json`` of our layout holds, and the files of the others mean."""

    format: str = "janusflow"
    model: ModelConfig = field(default_factory=ModelConfig)
    chat: ChatConfig = field(default_factory=ChatConfig)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    sampling: dict[str, Any] = field(default_factory=dict)  # how pictures are best drawn, over the head's defaults
    world: str | None = None  # toy world that is all it knows (see janusflow.worlds.notes)
    codec: str | None = None  # where the image codec is, from the folder (default: vae or vq in it)

    @staticmethod
    def respell(values: dict[str, Any], below: dict[str, Any]) -> dict[str, Any]:
        """Without what is there for transformers; earlier files: ``guidance`` beside the model."""
        values = {name: value for name, value in values.items() if name not in AUTO}
        guidance = values.pop("guidance", None)
        return values if guidance is None else {"sampling": {"guidance": guidance}, **values}


class Export(NamedTuple):
    """A model in the terms of a layout."""

    weights: dict[str, Tensor]
    files: dict[str, Any]  # JSON, or text as it is, by file name; config.json first
    codec: ImageCodec | None  # what is saved in a folder of its own


class Layout(ABC):
    """A form of model folders, read and written. What cannot be raises ``ValueError``, in one line."""

    format: str  # what users call it; layouts of one format are for different heads
    head: str | None = None  # the only generation head that it has a place for
    extras: tuple[str, ...] = ()  # prefixes of what else than the model's parameters the weights hold
    default_codec: str | None = None  # hub id of the image codec of folders that hold none

    @abstractmethod
    def is_mine(self, values: dict[str, Any]) -> bool:
        """Whether a ``config.json`` is of this layout."""

    @abstractmethod
    def model_config(self, values: dict[str, Any], source: str) -> ModelConfig:
        """Sizes out of ``config.json``, which ``source`` names in errors: of missing and unsupported fields."""

    @abstractmethod
    def keys(self, model: ModelConfig) -> KeyMap:
        """Our parameter names to the layout's."""

    @abstractmethod
    def export(self, bundle: Bundle, weights: dict[str, Tensor], dtype: torch.dtype | None) -> Export:
        """A model whose ``weights``, by our names, are in ``dtype`` (None: as they were)."""

    def read(self, folder: Path, values: dict[str, Any]) -> FolderConfig:
        """The configuration of a folder whose ``config.json`` holds ``values``; chat and pixels as in releases."""
        model = self.model_config(values, str(folder / "config.json"))
        return FolderConfig(self.format, model, read_chat(folder), read_preprocessing(folder))

    def file_keys(self, model: ModelConfig, folder: Path, values: dict[str, Any], files: list[Path]) -> KeyMap:
        """As :meth:`keys`, for the ``files`` of a folder."""
        return self.keys(model)

    def chat(self, folder: Path, config: FolderConfig, tokenizer: TextTokenizer) -> ChatConfig:
        """The chat format, where the tokenizer tells something of it too."""
        return config.chat

    def codec(
        self, folder: Path, model: ModelConfig, required: bool, dtype: torch.dtype | None, device: torch.device
    ) -> ImageCodec | None:
        """The image codec that belongs to a folder; None where it has none and none is ``required``.

        dtype: of one among the model's weights (None: as it is stored); others are in fp32.
        """
        kind = codec_kind(model)
        own = folder / kind.folder
        place = str(own) if own.exists() else self.codec_elsewhere(folder, required)
        if place is None and required:
            raise ValueError(f"no image codec at {own}: there is no config.json in it")
        return None if place is None else kind.from_pretrained(place).to(device)

    def codec_elsewhere(self, folder: Path, required: bool) -> str | None:
        """Where the codec of a folder without one is: a folder or hub id."""
        return self.default_codec if required else None


class OwnLayout(Layout):
    """Ours."""

    format = "janusflow"

    def is_mine(self, values: dict[str, Any]) -> bool:
        return values.get("format") == self.format

    def model_config(self, values: dict[str, Any], source: str) -> ModelConfig:
        return from_dict(FolderConfig, values, source).model

    def read(self, folder: Path, values: dict[str, Any]) -> FolderConfig:
        config = from_dict(FolderConfig, values, str(folder / "config.json"))
        return dataclasses.replace(config, model=dataclasses.replace(config.model, losses={}))

    def keys(self, model: ModelConfig) -> KeyMap:
        return SAME

    def codec_elsewhere(self, folder: Path, required: bool) -> str | None:
        """What ``config.json`` names: models of one codec may share it."""
        elsewhere = read_json_object(folder / "config.json").get("codec")
        return None if elsewhere is None else str(folder / elsewhere)

    def export(self, bundle: Bundle, weights: dict[str, Tensor], dtype: torch.dtype | None) -> Export:
        settings = (bundle.chat, bundle.preprocessing, bundle.sampling, bundle.world)
        values = to_dict(FolderConfig("janusflow", bundle.model.config, *settings))
        values["model"]["losses"] = {name: {"weight": 0.0} for name in paper_losses()}  # a saved model has none
        return Export(weights, {"config.json": {**AUTO, **values}, f"{MODULE}.py": CODE}, bundle.codec)


def find_layout(values: dict[str, Any]) -> Layout | None:
    """The layout of a ``config.json``; None where it is of none."""
    return next((layout for layout in layouts() if layout.is_mine(values)), None)


def choose_layout(name: str, model: ModelConfig) -> Layout:
    """The layout that users call ``name``, for models like this one. Raises ``ValueError`` where there is none."""
    fitting = {layout.format: layout for layout in layouts() if layout.head in (None, model.head.kind)}
    if name not in fitting:
        known = any(layout.format == name for layout in layouts())
        fault = f"the {name} format has no models with this head" if known else f"unknown format {name!r}"
        raise ValueError(f"{fault}; choose from {', '.join(fitting)}")
    return fitting[name]


def layouts() -> Iterator[Layout]:
    """All that there are."""
    return (LAYOUTS.load(name)() for name in LAYOUTS.paths)


def codec_kind(model: ModelConfig) -> type[VQCodec] | type[LatentCodec]:
    """What decodes that which a model's head draws."""
    return LatentCodec if model.head.head_class.latent_dtype.is_floating_point else VQCodec


def type_name(weights: dict[str, Tensor]) -> str:
    """The type of weights as ``config.json`` names it."""
    return str(next(iter(weights.values())).dtype).removeprefix("torch.")


def stored(weights: dict[str, Tensor], keys: KeyMap) -> dict[str, Tensor]:
    """Our weights as a file holds them."""
    return {name: view(value) for ours, value in weights.items() for name, view in keys.parts(ours).items()}


def llm_params(llm: LLMConfig) -> dict[str, Any]:
    """The fields that :func:`read_llm_config` reads."""
    return {
        "model_type": "llama",
        "vocab_size": llm.vocab_size,
        "hidden_size": llm.hidden_size,
        "intermediate_size": llm.intermediate_size,
        "num_hidden_layers": llm.num_layers,
        "num_attention_heads": llm.num_heads,
        "num_key_value_heads": llm.num_kv_heads,
        "max_position_embeddings": llm.max_positions,
        "rope_theta": llm.rope_theta,
        "rms_norm_eps": llm.rms_norm_eps,
    }


def check_sayable(model: ModelConfig, layout: str) -> None:
    """Raise ``ValueError`` for what neither DeepSeek's layouts nor transformers' can say."""
    if model.llm.image_positions != "raster":
        raise ValueError(f"{layout} layout has raster positions of images alone: use the janusflow layout")
    if model.llm.qk_norm:
        raise ValueError(f"{layout} layout has no query-key norm: use the janusflow layout")
    if model.sees_latents:
        raise ValueError(f"{layout} layout has SigLIP, no {model.und_encoder} encoder: use the janusflow layout")
    if model.source_latents:
        raise ValueError(f"{layout} layout has no source latents in prompts: use the janusflow layout")


def check_settings(source: str, *settings: tuple[str, Any, Any]) -> None:
    """Raise ``ValueError`` for the first of (name, supported value, value) whose values differ."""
    for name, wanted, got in settings:
        if got != wanted:
            raise ValueError(f"{source}: {name} is {got!r}; only {wanted!r} is supported")


@contextmanager
def reading(source: str, kind: str) -> Iterator[None]:
    """Turn the errors of reading a damaged configuration into ``ValueError`` that names ``source``."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{source} lacks {error.args[0]!r}") from error
    except (TypeError, AttributeError, IndexError, ArithmeticError, RuntimeError, StrictDataclassError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{source} is not a {kind} configuration: {reason}") from error
