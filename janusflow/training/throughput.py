"""How much of the hardware a run uses: floating-point operations of a step, and what devices can do at most."""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from janusflow.models.unified import UnifiedModel

# Dense bf16 peaks without sparsity, in FLOP/s, from the vendors' data sheets.
PEAKS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "B200": 2250e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
}


def peak_flops(device: torch.device) -> float | None:
    """The bf16 peak of ``device`` in FLOP/s; None where it is not known, as of CPUs."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for known, peak in PEAKS.items() if known in name), None)


def step_flops(model: UnifiedModel, lengths: Tensor, und_images: int, gen_images: int) -> float:
    """Model FLOPs of a training step: forward 2 per weight and token, backward another 4 where weights train.

    lengths: (samples,) tokens of each sample, whose squares the attention costs (half of them, being causal). Work that
    is done twice (activation checkpointing), padding and the vocabulary's rows that go unused do not count.
    """
    config = model.config
    tokens = float(lengths.sum())
    blocks = [*model.llm.blocks.parameters()]
    llm = sum(p.numel() * (3.0 if p.requires_grad else 2.0) for p in blocks)  # gradients pass through frozen ones
    attention = 2 * config.llm.num_layers * config.llm.hidden_size * float((lengths.double() ** 2).sum())
    flops = 2 * llm * tokens + (3.0 if any(p.requires_grad for p in blocks) else 2.0) * attention

    patches = config.vision.grid**2
    weights = [p for block in model.vision.blocks for p in block.parameters()]
    tower = 2 * sum(p.numel() for p in weights) * patches + 4 * config.vision.depth * config.vision.width * patches**2
    flops += tower * gen_images * any(loss.needs_siglip for loss in model.losses.values())  # REPA's target

    encoder = 3 * 2 * multiplied(model.head.encoder) * model.head.num_tokens
    trains = any(p.requires_grad for p in weights)
    flops += (encoder if config.sees_latents else (3.0 if trains else 1.0) * tower) * und_images

    return flops + 3 * 2 * multiplied(model.head) * model.head.num_tokens * gen_images


def multiplied(module: nn.Module) -> int:
    """The number of weights that every token is multiplied with: all but those that are looked up."""
    looked_up = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    return sum(p.numel() for p in module.parameters() if id(p) not in looked_up)


def memory_gib(device: torch.device, children: bool = False) -> float:
    """The most memory that this process held on its GPU, else of the machine, in GiB (0 where the system does not say).

    children: with the largest of its workers.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    if sys.platform == "win32":
        return 0.0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    kinds = (resource.RUSAGE_SELF, *([resource.RUSAGE_CHILDREN] if children else []))
    return sum(resource.getrusage(kind).ru_maxrss for kind in kinds) * unit / 2**30
