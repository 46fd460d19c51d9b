"""Adapter folders in peft's form: written by runs that train one, and laid over a model when it is loaded.

``adapter_config.json`` and ``adapter_model.safetensors`` are as peft itself writes them for transformers'
``LlamaForCausalLM``, which the model's LLM is. Beside them stand ``modules.safetensors``, what else trained (a head,
say) by our names, and ``janusflow.json``: the base's digest, and how the adapted model is best drawn with.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file
from torch import Tensor

from janusflow.adapters import AdapterConfig, is_adapter, widen
from janusflow.hub import download, is_hub_id
from janusflow.models.llm import CausalLM
from janusflow.models.unified import UnifiedModel
from janusflow.weights import (
    SHIPPED,
    compare,
    digest,
    follow_umask,
    read_json_object,
    read_shapes,
    read_tensors,
    writing,
)

if TYPE_CHECKING:
    from janusflow.checkpoints.pretrained import Bundle

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MODULES, SETTINGS = "modules.safetensors", "janusflow.json"
PREFIX = "base_model.model."  # of peft's own names
logger = logging.getLogger(__name__)


def find_adapter(path: str | Path) -> Path | None:
    """The adapter folder at ``path``: itself, or a run's ``model``. None where there is none."""
    return next((folder for folder in (Path(path), Path(path) / "model") if (folder / CONFIG).exists()), None)


def unfold(path: str | Path) -> tuple[str | Path, list[Path]]:
    """The whole model at ``path`` and the adapters over it, the lowest first; a plain model has none.

    Raises ``ValueError`` where an adapter does not say what it lies over.
    """
    adapters: list[Path] = []
    while (folder := find_adapter(path)) is not None:
        path = read_json_object(folder / CONFIG).get("base_model_name_or_path") or ""
        if not path or folder in adapters:
            raise ValueError(f"{folder / CONFIG} does not say which model it is an adapter of")
        adapters.insert(0, folder)
    return path, adapters


def save_adapter(bundle: Bundle, folder: Path, config: AdapterConfig, base: str, trained: Collection[str]) -> None:
    """Write the adapter of the bundle's model, with the other ``trained`` parameters; its configuration comes last.

    base: where its base is. The bundle's digest is the base's.
    """
    values = {n: p.detach() for n, p in bundle.model.named_parameters() if n in trained}
    others = {n: p for n, p in values.items() if not is_adapter(n) and not n.startswith(bundle.model.training_only)}
    base = base if base in SHIPPED or not Path(base).exists() else str(Path(base).resolve())
    settings = {"base_digest": bundle.digest, "sampling": bundle.sampling, "world": bundle.world}
    with writing(f"the adapter to {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        save_tensors(adapter_weights(bundle.model.llm.causal_lm), folder / WEIGHTS)
        if others:
            save_tensors(others, folder / MODULES)
        (folder / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n")
        peft = config.peft(base_model_name_or_path=base, task_type="CAUSAL_LM", inference_mode=True)
        peft.save_pretrained(str(folder))


def save_tensors(values: dict[str, Tensor], path: Path) -> None:
    """Write a file of tensors."""
    save_file({name: value.contiguous().cpu() for name, value in values.items()}, path, metadata={"format": "pt"})
    follow_umask([path])


def adapter_weights(llm: CausalLM) -> dict[str, Tensor]:
    """The adapter's weights by peft's names."""
    from peft import get_peft_model_state_dict

    return {f"{PREFIX}{name}": value for name, value in get_peft_model_state_dict(llm).items()}


def apply_adapter(bundle: Bundle, path: str | Path) -> Bundle:
    """The bundle with the adapter at ``path`` (folder, run folder or hub id) merged into its model's weights.

    Products are computed in fp32 and added in the weights' own type. Raises ``ValueError`` in one line where files are
    missing or damaged, or do not fit the model.
    """
    folder = find_adapter(path)
    if folder is None and not Path(path).exists() and is_hub_id(str(path)):
        folder = download(str(path), (CONFIG, WEIGHTS, MODULES, SETTINGS))
    if folder is None or not (folder / CONFIG).exists():
        raise ValueError(f"no adapter at {path}: there is no {CONFIG} in it")
    files = [file for file in (folder / WEIGHTS, folder / MODULES) if file.exists()]
    if folder / WEIGHTS not in files:
        raise ValueError(f"no adapter weights at {folder}: there is no {WEIGHTS} (pickles are refused)")
    settings = read_json_object(folder / SETTINGS, required=False)
    if settings.get("base_digest", bundle.digest) != bundle.digest:
        logger.warning(
            "the adapter %s was trained over the model %s, and this is %s", path, settings["base_digest"], bundle.digest
        )
    merge(bundle.model.llm.causal_lm, folder)
    if folder / MODULES in files:
        take_modules(bundle.model, folder / MODULES)
    name = hashlib.sha256(f"{bundle.digest}{digest(files)}".encode()).hexdigest()[:12]
    sampling = {**bundle.sampling, **settings.get("sampling", {})}
    return dataclasses.replace(bundle, digest=name, sampling=sampling, world=settings.get("world", bundle.world))


def merge(llm: CausalLM, folder: Path) -> None:
    """Add a folder's adapter to the LLM's weights."""
    from peft import LoraConfig, LoraModel, set_peft_model_state_dict

    read_json_object(folder / CONFIG)
    try:
        config = LoraConfig.from_pretrained(str(folder))
        with torch.no_grad():
            tuner = LoraModel(llm, config, "default")
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{folder / CONFIG} does not fit the model: {' '.join(str(error).split())}") from error
    widen(llm)
    expected = {name: tuple(value.shape) for name, value in adapter_weights(llm).items()}
    compare(expected, read_shapes([folder / WEIGHTS]), str(folder / WEIGHTS))
    weights = dict(read_tensors([folder / WEIGHTS], expected))
    set_peft_model_state_dict(llm, {name.removeprefix(PREFIX): value for name, value in weights.items()})
    tuner.merge_and_unload(progressbar=False)
    llm.requires_grad_(True)


def take_modules(model: UnifiedModel, path: Path) -> None:
    """Give the model the parameters of a file. Raises ``ValueError`` for one that it does not have."""
    found, own = read_shapes([path]), dict(model.named_parameters())
    compare({name: tuple(own[name].shape) for name in found if name in own}, found, str(path))
    for name, value in read_tensors([path], found):
        own[name].data.copy_(value)
