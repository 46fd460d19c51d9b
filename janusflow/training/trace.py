"""What a step's activations take, found by running it with tensors that have shapes and no values.

The model is built on the meta device and takes part as fake tensors: every operation, of any head and loss, is really
dispatched, and what it would allocate is counted as long as something holds it. Token ids, slots and labels are real,
since they decide how large other things become.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    UnsupportedFakeTensorException,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from janusflow.codecs.base import ImageCodec
from janusflow.data.sample import Batch
from janusflow.models.unified import Aside, UnifiedModel

aten = torch.ops.aten
INDEXED = (
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
    aten._unsafe_index.Tensor,
)
UNTRACEABLE = (UnsupportedFakeTensorException, DataDependentOutputException, DynamicOutputShapeException)


class Allocations(TorchDispatchMode):
    """Counts the bytes that operations allocate: ``live`` now, ``peak`` at most. ``known`` tensors do not count."""

    def __init__(self, known: Sequence[Tensor] = ()) -> None:
        super().__init__()
        self.live = self.peak = 0
        self.known = [tensor.untyped_storage() for tensor in known]
        self.seen: dict[int, Any] = {id(storage): None for storage in self.known}

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func in INDEXED:  # a mask's number of places is known here, and not behind
            places: list[Any] = []
            for index in args[1]:
                masked = index is not None and index.dtype == torch.bool
                places += index.nonzero().unbind(1) if masked else [index]
            args = (args[0], places, *args[2:])
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._count(value.untyped_storage())
        return result

    def _count(self, storage: Any) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self.seen:
            return

        def release(_: object) -> None:
            self.live -= size
            del self.seen[key]

        self.seen[key] = weakref.ref(storage, release)
        self.live += size
        self.peak = max(self.peak, self.live)


def without_values(module: nn.Module, mode: FakeTensorMode) -> None:
    """Make the module's parameters and buffers, on whatever device, fake tensors of the CPU."""
    found: dict[int, Any] = {}

    def fake(tensor: Tensor) -> Tensor:
        shape = tensor.detach().to("meta")
        return mode.fake_tensor_converter.from_meta_and_device(mode, shape, torch.device("cpu"))

    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None and not isinstance(value, FakeTensor):  # which two models may share
                found.setdefault(id(value), nn.Parameter(fake(value), requires_grad=value.requires_grad))
                part._parameters[name] = found[id(value)]
        for name, buffer in part._buffers.items():
            if buffer is not None and not isinstance(buffer, FakeTensor):
                part._buffers[name] = fake(buffer)


def step_peak(
    model: UnifiedModel,
    batches: Sequence[Batch],
    codec: ImageCodec | None,
    reference: UnifiedModel | None,
    low_precision: bool,
) -> int:
    """Bytes of a step's activations and gradients at their peak, of the micro-batches ``batches``.

    model: with ``requires_grad`` as the stage has it; it, the codec and the reference become fakes. Raises
    ``ValueError`` for a model whose sizes depend on values.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    modules = [model, *([] if codec is None else [codec.module]), *([] if reference is None else [reference])]
    for module in modules:
        without_values(module, mode)
    tensors = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
    head = model.head
    try:
        with Allocations(tensors) as found, torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
            for batch in batches:

                def encode(pixels: Tensor) -> Tensor:
                    if codec is not None and len(pixels):
                        return codec.encode(pixels)
                    shape = head.latent_shape_of(model.grid_of(pixels))
                    return torch.zeros(len(pixels), *shape, dtype=head.latent_dtype)

                latents = batch.gen_latents if batch.gen_latents is not None else encode(batch.gen_pixels)
                seen = encode(batch.und_pixels) if model.config.sees_latents else batch.und_pixels
                images = (seen, batch.gen_pixels, latents, batch.seeds)
                aside = Aside(reference, progress=1.0, noise=batch.noise)
                sources = encode(batch.source_pixels) if model.config.source_latents else None
                further = batch.further_encoded(encode)
                losses = model(batch.rows, batch.labels, *images, None, aside, sources, further)
                model.total(losses).backward()
                del losses, latents, seen, images, aside, sources, further
    except UNTRACEABLE as error:
        raise ValueError(f"its sizes depend on values: {error}") from error
    return found.peak
