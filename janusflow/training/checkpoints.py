"""Training states on disk: written whole or not at all, readable by any number of processes.

``checkpoints/STAGE-STEP/`` holds what torch's distributed checkpointing writes (model, average and optimizer, each
process its own part) and ``state.json``, which comes last. A folder is renamed into place only when it is complete.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule

from janusflow import __version__
from janusflow.models.unified import UnifiedModel
from janusflow.training import distributed
from janusflow.training.module import UnifiedModule
from janusflow.training.optim import OptimizerUnion, parts_of

STATE = "state.json"
UNFINISHED = ".part"
NAME = re.compile(r"(?P<stage>.+)-(?P<step>\d+)")


class Checkpoint(NamedTuple):
    """A complete training state."""

    path: Path
    stage: str
    step: int  # steps of the stage that are done


def find(folder: Path, stages: list[str]) -> list[Checkpoint]:
    """The complete states of ``stages`` in ``folder``, oldest first."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = NAME.fullmatch(path.name)
        if match and match["stage"] in stages and (path / STATE).exists():
            found.append(Checkpoint(path, match["stage"], int(match["step"])))
    return sorted(found, key=lambda checkpoint: (stages.index(checkpoint.stage), checkpoint.step))


def save(
    folder: Path, stages: list[str], step: int, module: UnifiedModule, optimizer: torch.optim.Optimizer, keep: int
) -> Path:
    """Write the state after ``step`` steps of the last of ``stages``, and only then remove older ones.

    The last ``keep`` of this stage stay, and none of the stages before it. All processes must call it. Raises
    ``ValueError`` on all where any cannot write; older states stay.
    """
    stage = stages[-1]
    path = folder / f"{stage}-{step:06d}"
    unfinished = folder / f"{path.name}{UNFINISHED}"
    state = {**model_state(module), "optimizer": optimizer_state(module, optimizer)}

    def prepare() -> None:
        if distributed.is_main():
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob(f"*{UNFINISHED}"):
                shutil.rmtree(leftover)

    def write() -> None:
        dcp.save(state, checkpoint_id=unfinished, no_dist=distributed.world_size() == 1)

    def finish() -> None:
        if not distributed.is_main():
            return
        values = {"stage": stage, "step": step, "ranks": distributed.world_size(), "version": __version__}
        (unfinished / STATE).write_text(json.dumps(values, indent=2) + "\n")
        if path.exists():
            shutil.rmtree(path)
        unfinished.rename(path)
        found = find(folder, stages)
        older = found[: [c.path for c in found].index(path) + 1]
        for old in (c for c in older if c not in older[-keep:] or c.stage != stage):
            (old.path / STATE).unlink()  # first: what is half removed is no state
            shutil.rmtree(old.path)

    for action in (prepare, write, finish):
        together(action, f"cannot write the checkpoint {path}")
    return path


def load(checkpoint: Checkpoint, module: UnifiedModule, optimizer: torch.optim.Optimizer | None) -> None:
    """Fill model, average and, if given, the optimizer. Raises ``ValueError`` with the path where that fails."""
    state: dict[str, Any] = model_state(module)
    if optimizer is not None:
        state["optimizer"] = optimizer_state(module, optimizer)

    def read() -> None:
        stored = dcp.FileSystemReader(checkpoint.path).read_metadata().state_dict_metadata
        for part in ("ema", "old"):
            if not any(name.startswith(f"{part}.") for name in stored):
                state.pop(part, None)
        dcp.load(state, checkpoint_id=checkpoint.path, no_dist=distributed.world_size() == 1)
        fill(module, state)
        if optimizer is not None:
            set_optimizer_state_dict(module.model, parts_of(optimizer), optim_state_dict=state["optimizer"])
            if isinstance(optimizer, OptimizerUnion):
                optimizer.share()

    together(read, f"cannot read the checkpoint {checkpoint.path}")


def model_state(module: UnifiedModule) -> dict[str, Any]:
    """Weights and, where there are any, averages and the copy that draws, sharded as they are; of a run that trains an
    adapter what trains."""
    if module.kept is None:
        parts = {"model": module.model, "ema": module.ema, "old": module.old}
        return {name: get_model_state_dict(part) for name, part in parts.items() if part is not None}
    state: dict[str, Any] = {"model": chosen(module.model, module.kept)}
    if module.old is not None:
        state["old"] = chosen(module.old, module.kept)
    if module.ema is not None:
        averages = chosen(module.ema.model, module.kept)
        state["ema"] = {"updates": module.ema.updates, **{f"model.{name}": value for name, value in averages.items()}}
    return state


def chosen(model: nn.Module, names: Collection[str]) -> dict[str, Tensor]:
    """The values of the model's parameters that are in ``names``."""
    return {name: value.detach() for name, value in model.named_parameters() if name in names}


def fill(module: UnifiedModule, state: dict[str, Any]) -> None:
    """Give the model, the average and the copy that draws the values of a ``state``."""
    if module.kept is not None:
        return  # they were read into the parameters themselves
    set_model_state_dict(module.model, state["model"])
    if module.ema is not None and "ema" in state:
        set_model_state_dict(module.ema, state["ema"])
    elif module.ema is not None:  # of a run without one: it begins as the weights
        set_model_state_dict(module.ema.model, state["model"])
    if module.old is not None:
        set_model_state_dict(module.old, state.get("old", state["model"]))


def optimizer_state(module: UnifiedModule, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimizer's state by parameter name, sharded as it is."""
    return get_optimizer_state_dict(module.model, parts_of(optimizer))


def whole_model(module: UnifiedModule) -> UnifiedModel | None:
    """What is drawn with and exported, in one piece, on the main process; None on the others. All must call it."""
    model = module.exported
    if not isinstance(model, FSDPModule):
        return model if distributed.is_main() else None
    model.to(distributed.device())  # collectives of a GPU job need it there; Lightning tidies it away after a stage
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    weights = get_model_state_dict(model, options=options)
    if not distributed.is_main():
        return None
    with torch.device("meta"):
        whole = UnifiedModel(model.config)
    whole.load_state_dict(weights, assign=True)
    return whole.to(distributed.device()).eval().requires_grad_(False)


def together(action: Callable[[], None], what: str) -> None:
    """Run ``action`` on all processes. Raises ``ValueError``, on all, where it fails on any."""
    problem = None
    try:
        action()
    except (Exception, CheckpointException) as error:  # storage, pickling and process groups have many kinds
        problem = reason(error)
    for found in distributed.from_all(problem):
        if found is not None:
            raise ValueError(f"{what}: {found}")


def reason(error: BaseException) -> str:
    """What went wrong, in one line."""
    if isinstance(error, CheckpointException):
        error = next(iter(error.failures.values()))[0]
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
