"""Weights that are released as pickles, such as Janus-Pro's, rewritten as safetensors once.

Nothing else of this package opens a pickle. Here torch unpickles tensors only, which cannot run code.
"""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import torch
from torch import Tensor

from janusflow.weights import HUB_FILES, model_folder, save_weights, writing

PICKLED, PICKLED_INDEX = "*.bin", "pytorch_model.bin.index.json"


def convert_pickles(path: str | Path, out: Path, revision: str | None = None, shard_size: str = "5GB") -> None:
    """Write the model of a folder or hub id to the folder ``out``, its ``.bin`` weights as safetensors.

    Weights are mapped from the files, not read into memory; everything else is copied, ``config.json`` last.
    Raises ``ValueError`` where there are no such weights, or files that hold anything but tensors.
    """
    folder = model_folder(path, revision, (*HUB_FILES, PICKLED))
    files = sorted(folder.glob(PICKLED))
    if not files:
        raise ValueError(f"{folder} has no weights as {PICKLED} to convert")
    weights: dict[str, Tensor] = {}
    for file in files:
        weights |= read_pickle(file)
    with writing(f"the model to {out}"):
        out.mkdir(parents=True, exist_ok=True)
        save_weights(weights, out, shard_size)
        kept = [file for file in folder.glob("*.json") if file.name not in (PICKLED_INDEX, "config.json")]
        for file in (*kept, *folder.glob("*.jinja"), folder / "config.json"):
            shutil.copyfile(file, out / file.name)


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of a pickled state. Raises ``ValueError`` with the path for anything else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"cannot read the weights {path}: {str(error).strip().splitlines()[0]}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds something else than named tensors")
    return state
