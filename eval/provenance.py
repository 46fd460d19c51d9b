"""Where a number comes from: the model with its weights' hash, the libraries, the machine."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from janusflow import __version__
from janusflow.checkpoints.pretrained import Bundle

Record = dict[str, Any]
CPU_INFO = Path("/proc/cpuinfo")  # Linux
LIBRARIES = ("torch", "transformers", "diffusers", "timm", "numpy", "scipy", "pillow")


def describe(bundle: Bundle) -> Record:
    """What a result says about its model."""
    parameters = list(bundle.model.parameters())
    return {
        "head": bundle.model.head.family,
        "checkpoint": bundle.digest,
        "codec": bundle.codec.digest if bundle.codec else None,
        "parameters": sum(parameter.numel() for parameter in parameters),
        "resolution": bundle.model.config.vision.image_size,
        "dtype": str(parameters[0].dtype).removeprefix("torch."),
        "device": parameters[0].device.type,
        "config": dataclasses.asdict(bundle.model.config),
        "chat": dataclasses.asdict(bundle.chat),
        "preprocessing": dataclasses.asdict(bundle.preprocessing),
        "libraries": libraries(),
    }


def libraries() -> dict[str, str]:
    """The versions that numbers depend on."""
    return {"janusflow": __version__} | {name: importlib.metadata.version(name) for name in LIBRARIES}


def machine(device: torch.device | str) -> str:
    """What times are taken on: the GPU, or the processor and how much of it is used."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    processors = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines() if CPU_INFO.exists() else []
    models = (line.partition(":")[2].strip() for line in processors if line.startswith("model name"))
    names = [platform.machine(), *islice(models, 1)]
    return f"{', '.join(names)}, {torch.get_num_threads()} of {os.cpu_count()} cores"
