"""What drawing costs, measured around real draws: time, memory and parameters, beside what is counted
(:mod:`janusflow.inference.cost`)."""

from __future__ import annotations

import statistics
import time
import weakref
from collections.abc import Callable, Sequence
from itertools import chain, cycle, islice
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from eval.candidate import Candidate
from eval.task import Drawing, Record
from janusflow.checkpoints.pretrained import Bundle
from janusflow.inference.cost import count_work
from janusflow.inference.images import generate_images
from janusflow.models.shapes import Size
from janusflow.options import SamplingOptions


def measure_cost(
    bundle: Bundle, prompts: Sequence[str], options: SamplingOptions, batch_size: int, repeats: int
) -> dict[str, Any]:
    """The cost of a picture. Seconds are medians over ``repeats`` draws, at batch 1 and at ``batch_size``."""
    batch = list(islice(cycle(prompts), batch_size))
    return {
        "seconds_alone": seconds_per_image(bundle, batch[:1], options, repeats),
        "seconds": seconds_per_image(bundle, batch, options, repeats),
        **count_work(bundle, prompts, options),
        "memory": peak_memory(bundle, batch, options),
        "parameters": sum(p.numel() for p in bundle.model.parameters()),
        "parameters_codec": sum(p.numel() for p in bundle.required_codec.module.parameters()),
    }


class TimedCandidate(Candidate):
    """A model that notes what drawing takes, batch by batch; one picture is drawn before the first, to warm up."""

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self.seconds: dict[int, list[float]] = {}  # size of a batch -> of a picture in it

    def draw(self, drawings: Sequence[Drawing], size: Size | None = None) -> list[Image.Image]:
        if not self.seconds:
            super().draw(drawings[:1], size)
        start = time.perf_counter()
        images = super().draw(drawings, size)
        self.seconds.setdefault(len(drawings), []).append((time.perf_counter() - start) / len(drawings))
        return images

    def timing(self, drawings: Sequence[Drawing]) -> Record:
        """Seconds of a picture: the median over the whole batches; of one drawn now where all had been drawn before."""
        batch = min(self.batch_size, len(drawings))
        if batch not in self.seconds:
            self.draw(drawings[:batch])
        return {"seconds": statistics.median(self.seconds[batch]), "timed_batch": batch}


def seconds_per_image(bundle: Bundle, batch: Sequence[str], options: SamplingOptions, repeats: int) -> float:
    """Wall time of a picture drawn in this batch: the median over ``repeats`` draws, after one more to warm up."""
    taken = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        generate_images(bundle, batch, range(len(batch)), options, len(batch))
        taken.append((time.perf_counter() - start) / len(batch))
    return statistics.median(taken[1:])


def peak_memory(bundle: Bundle, batch: Sequence[str], options: SamplingOptions) -> int:
    """Bytes at the peak of drawing the batch, weights included: the allocator's count on CUDA, else that of tensors."""
    device = bundle.model.llm.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        generate_images(bundle, batch, range(len(batch)), options, len(batch))
        return torch.cuda.max_memory_allocated(device)
    modules = (bundle.model, bundle.required_codec.module)
    weights = chain.from_iterable(chain(module.parameters(), module.buffers()) for module in modules)
    with LiveMemory() as memory:
        generate_images(bundle, batch, range(len(batch)), options, len(batch))
    return memory.peak + sum(weight.nbytes for weight in weights)


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of the tensor storages that operations inside it have made and that are still alive.

    A view counts once with what it looks at, and not at all where that is older than the mode (weights). What a kernel
    takes for itself while it runs is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[int, int] = {}  # storage -> bytes
        self.now = 0
        self.peak = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        given = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._add(leaf.untyped_storage(), given)
        return out

    def _add(self, storage: torch.UntypedStorage, given: set[int]) -> None:
        key = storage._cdata
        if key in given or key in self.live:
            return
        self.live[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self.now -= self.live.pop(key)
