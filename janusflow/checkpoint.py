"""Model folders: written and read with safetensors; and the names of DeepSeek's released parameters.

Our layout is ``config.json`` (sizes, chat format), ``model.safetensors``, ``tokenizer.json`` and ``vae/``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from janusflow.config import from_dict, to_dict
from janusflow.data.template import ChatConfig, ChatTemplate
from janusflow.data.tokenizer import TextTokenizer
from janusflow.models.unified import JanusFlow, ModelConfig
from janusflow.models.vae import LatentCodec

ASSETS = Path(__file__).parent / "assets"
SHIPPED = ASSETS / "janusflow-shapes"  # the checkpoint that the command line uses by default
FORMAT = "janusflow"

# Our prefix -> the official prefix. The rest of a key is equal.
JANUSFLOW_PREFIXES: dict[str, str] = {
    "llm.causal_lm.": "language_model.",
    "vision.tower.": "vision_und_enc_model.vision_tower.",
    "vision.aligner.": "vision_und_enc_aligner.",
    "vision.begin_embed": "beg_of_und_embed",
    "head.encoder_aligner.": "vision_gen_enc_aligner.",
    "head.encoder.": "vision_gen_enc_model.",
    "head.decoder_aligner.": "vision_gen_dec_aligner.",
    "head.decoder_norm.": "vision_gen_dec_aligner_norm.",
    "head.decoder.": "vision_gen_dec_model.",
}
# Used in training only; not part of a saved or released model.
TRAINING_ONLY = ("projector.",)


@dataclass
class FolderConfig:
    """What ``config.json`` holds."""

    format: str = FORMAT
    model: ModelConfig = field(default_factory=ModelConfig)
    chat: ChatConfig = field(default_factory=ChatConfig)


@dataclass
class Bundle:
    """A model with everything that running it takes."""

    model: JanusFlow
    codec: LatentCodec
    tokenizer: TextTokenizer
    chat: ChatConfig
    digest: str  # first 12 hex digits of the weights' SHA-256

    @property
    def template(self) -> ChatTemplate:
        """The chat template at this model's number of image tokens."""
        return ChatTemplate(self.tokenizer, self.chat, self.model.head.num_tokens)


def save_bundle(bundle: Bundle, folder: Path, dtype: torch.dtype | None = None) -> None:
    """Write a model folder, weights in ``dtype`` (default: as they are). Training-only parts are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.detach().to(dtype or value.dtype).contiguous()
        for name, value in bundle.model.state_dict().items()
        if not name.startswith(TRAINING_ONLY)
    }
    values = to_dict(FolderConfig(model=bundle.model.config, chat=bundle.chat))
    values["model"]["repa"]["enabled"] = False  # its projector is not saved
    save_file(weights, folder / "model.safetensors")
    bundle.tokenizer.save(folder / "tokenizer.json")
    bundle.codec.save(folder / "vae")
    (folder / "config.json").write_text(json.dumps(values, indent=2) + "\n")


def load_bundle(path: str | Path, device: torch.device | str = "cpu") -> Bundle:
    """Read a model folder, or the ``model`` folder of a run.

    Raises ``ValueError`` in one line where files are missing or damaged, or parameters unknown, missing or misshapen.
    """
    folder = Path(path)
    if not (folder / "config.json").exists() and (folder / "model" / "config.json").exists():
        folder = folder / "model"
    if not (folder / "config.json").exists():
        raise ValueError(f"no model at {path}: there is no config.json in it")
    try:
        values = json.loads((folder / "config.json").read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"cannot read {folder / 'config.json'}: {error}") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ValueError(f"{folder / 'config.json'} does not describe a {FORMAT} model")
    config = from_dict(FolderConfig, values, str(folder / "config.json"))
    with torch.device("meta"):
        model = JanusFlow(config.model)
    weights_file = folder / "model.safetensors"
    load_weights(model, read_weights(weights_file), str(weights_file))
    tokenizer = TextTokenizer.from_file(folder / "tokenizer.json")
    codec = LatentCodec.from_pretrained(folder / "vae")
    digest = hashlib.sha256(weights_file.read_bytes()).hexdigest()[:12]
    return Bundle(model.to(device).eval(), codec.to(torch.device(device)), tokenizer, config.chat, digest)


def read_weights(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, in fp32. Raises ``ValueError`` with the path where that fails."""
    try:
        return {name: value.float() for name, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise ValueError(f"cannot read the weights {path}: {error}") from error


def load_weights(module: nn.Module, weights: dict[str, Tensor], source: str) -> None:
    """Put ``weights`` into ``module``, which may be on the meta device.

    Raises ``ValueError`` that names unknown, missing and misshapen parameters.
    """
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    faults = [f"unknown {name}" for name in weights if name not in expected]
    faults += [f"missing {name}" for name in expected if name not in weights]
    faults += [
        f"{name} has shape {tuple(value.shape)} instead of {expected[name]}"
        for name, value in weights.items()
        if name in expected and tuple(value.shape) != expected[name]
    ]
    if faults:
        more = f" and {len(faults) - 4} more" if len(faults) > 4 else ""
        raise ValueError(f"{source} does not fit the model: {'; '.join(faults[:4])}{more}")
    module.load_state_dict(weights, assign=True)
    _restore_buffers(module)


def _restore_buffers(module: nn.Module) -> None:
    """Recompute the buffers that no checkpoint holds, which the meta device left empty: the rotary frequencies."""
    for part in module.modules():
        rope = getattr(part, "rotary_emb", None)
        if rope is not None and rope.inv_freq.is_meta:
            part.rotary_emb = type(rope)(rope.config)


def to_official(key: str) -> str:
    """The official name of our parameter ``key``. Raises ``KeyError`` with the key where there is none."""
    return _rename(key, JANUSFLOW_PREFIXES)


def from_official(key: str) -> str:
    """Our name of the official parameter ``key``. Raises ``KeyError`` with the key where there is none."""
    return _rename(key, {official: ours for ours, official in JANUSFLOW_PREFIXES.items()})


def _rename(key: str, prefixes: dict[str, str]) -> str:
    for old, new in prefixes.items():
        if key.startswith(old):
            return new + key[len(old) :]
    raise KeyError(f"no rule renames the parameter {key!r}")


def describe(bundle: Bundle) -> dict[str, Any]:
    """What a score says of the model it belongs to."""
    return {"checkpoint": bundle.digest, "parameters": sum(p.numel() for p in bundle.model.parameters())}
