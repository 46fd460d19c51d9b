"""Which precision to compute in."""

from __future__ import annotations

import torch


def fast_bf16(device: torch.device) -> bool:
    """Whether ``device`` multiplies bf16 faster than fp32: CUDA from Ampere on, CPUs with bf16 instructions."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def default_dtype(device: torch.device) -> torch.dtype:
    """The weights' type where nobody asks for one: bf16 on CUDA, fp32 elsewhere."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def fast_dtype(device: torch.device) -> torch.dtype:
    """What ``device`` multiplies fastest: bf16 or fp32."""
    return torch.bfloat16 if fast_bf16(device) else torch.float32


def autocast(device: torch.device) -> torch.autocast:
    """Autocast to bf16 where that is fast, else a context that changes nothing."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=fast_bf16(device))


def matmul_dtype(x: torch.Tensor) -> torch.dtype:
    """The precision of matrix products with ``x`` here: autocast's, or its own."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
