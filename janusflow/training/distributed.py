"""The processes of a run: how they start, agree, and share the model (DDP or FSDP2). One alone needs none of it."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

T = TypeVar("T")
GRACE = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"  # seconds that torchrun leaves its processes to save a state after SIGTERM
TIMEOUT = timedelta(minutes=10)  # of a collective: a rank that is gone must not be waited for longer


def launch(devices: int) -> None:
    """Where ``devices`` processes are wanted and there is one: run this command again under torchrun, instead of us."""
    if devices > 1 and "WORLD_SIZE" not in os.environ:
        os.environ.setdefault(GRACE, str(int(TIMEOUT.total_seconds())))
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(devices)]
        os.execv(sys.executable, [*torchrun, *sys.argv])


def connect() -> None:
    """Join the other processes that torchrun started, if it did. Raises ``ValueError`` for more than there are GPUs."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        local = int(os.environ.get("LOCAL_RANK", "0"))
        try:
            check_gpus(int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        except ValueError:
            if local:
                raise SystemExit(2) from None  # the machine's first process says it
            raise
        if torch.cuda.is_available():
            torch.cuda.set_device(local)
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=TIMEOUT)


def check_gpus(processes: int) -> None:
    """Raise ``ValueError`` where this machine has GPUs, but fewer than ``processes``."""
    if torch.cuda.is_available() and processes > torch.cuda.device_count():
        raise ValueError(f"{processes} processes (trainer.devices) need as many GPUs, got {torch.cuda.device_count()}")


def disconnect() -> None:
    """Leave the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process's number."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this process writes what only one may write."""
    return rank() == 0


def from_main(value: T) -> T:
    """The main process's ``value``, on all."""
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def from_all(value: T) -> list[T]:
    """Every process's ``value``, in order, on all."""
    if not dist.is_initialized():
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def together(action: Callable[[], T]) -> T:
    """What ``action`` gives here. Where it fails on any process all end: the main one with that error, which it says.

    Raises ``ValueError`` with the first error's text, ``SystemExit`` on the other processes.
    """
    error: ValueError | OSError | None = None
    try:
        value = action()
    except (ValueError, OSError) as caught:
        error = caught
    if not dist.is_initialized():
        if error is not None:
            raise error
        return value
    failed = [text for text in from_all(None if error is None else str(error)) if text is not None]
    if not failed:
        return value
    if not is_main():
        raise SystemExit(2)
    raise ValueError(failed[0]) from error


def barrier() -> None:
    """Wait for all."""
    if dist.is_initialized():
        dist.barrier()


def sum_over_ranks(values: Tensor) -> Tensor:
    """``values`` summed over all processes, in place."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values


def build_strategy(kind: str, ranks: int, replicas: int) -> Any:
    """Lightning's strategy: ``ddp``, or ``fsdp`` with ``replicas`` copies of the sharded model."""
    if ranks == 1:
        return "auto"
    if kind == "ddp":
        return DDPStrategy(timeout=TIMEOUT, gradient_as_bucket_view=True)
    return ModelParallelStrategy(data_parallel_size=ranks, tensor_parallel_size=1, timeout=TIMEOUT)


def data_mesh(ranks: int, replicas: int, device: torch.device) -> DeviceMesh:
    """All processes, as one line or as ``replicas`` lines of a hybrid-sharded model."""
    if replicas == 1:
        return dist.init_device_mesh(device.type, (ranks,))
    return dist.init_device_mesh(device.type, (replicas, ranks // replicas), mesh_dim_names=("replicate", "shard"))


def shard(model: nn.Module, blocks: list[nn.Module], mesh: DeviceMesh, low_precision: bool) -> None:
    """Shard ``model`` over ``mesh`` (FSDP2), each of ``blocks`` on its own; masters and reduction stay in fp32."""
    policy = MixedPrecisionPolicy(torch.bfloat16 if low_precision else None, torch.float32)
    for block in blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    # The losses compare with the clean latents: they come in as they are.
    fully_shard(model, mesh=mesh, mp_policy=dataclasses.replace(policy, cast_forward_inputs=False))
    assert all(isinstance(parameter, DTensor) for parameter in model.parameters()), "gradients of others are not shared"


def set_gradient_sync(model: nn.Module, wrapper: Any, on: bool) -> None:
    """Whether the next backward pass exchanges gradients: only a step's last micro-batch needs to."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(on)
    elif isinstance(wrapper, nn.parallel.DistributedDataParallel):
        wrapper.require_backward_grad_sync = on


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """A sharded model in one piece on every process, which may then use it as often as each needs to."""
    if not isinstance(model, FSDPModule):
        yield
        return
    make_root(model)
    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
    model.set_reshard_after_forward(False)
    for part in parts:
        part.unshard()
    try:
        yield
    finally:
        model.set_reshard_after_forward(True)
        for part in parts:
            part.reshard()


@contextmanager
def opened(model: nn.Module | None) -> Iterator[None]:
    """A sharded model of which parts are called, not the whole: what lies outside of its blocks is gathered, and each
    block as it runs. All processes must call the same parts."""
    if not isinstance(model, FSDPModule):
        yield
        return
    make_root(model)
    model.unshard()
    try:
        yield
    finally:
        model.reshard()


def make_root(model: FSDPModule) -> None:
    """Have FSDP2 know ``model`` as the root: else the first block that runs by itself takes itself for one.

    Only a forward pass of the whole does it publicly.
    """
    model._get_fsdp_state()._lazy_init()


def reshard(model: nn.Module) -> None:
    """Give up what a forward pass without a backward one has gathered: a sharded model's root keeps its own."""
    if isinstance(model, FSDPModule):
        model.reshard()


def device() -> torch.device:
    """Where this process computes."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
