"""The options of ``janusflow serve``."""

from __future__ import annotations

from dataclasses import dataclass

from janusflow.options import option
from janusflow.serve.limits import Limits


@dataclass(frozen=True)
class ServeConfig(Limits):
    """Limits, and how the queue is worked on."""

    batch_size: int = option(16, "pictures or answers computed together, at most")
    timeout: float = option(120.0, "seconds for a request, from its arrival to its end")
    name: str | None = option(None, "what clients call the model (default: as --model does, without its folders)")
