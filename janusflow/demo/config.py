"""The options of ``janusflow demo``."""

from __future__ import annotations

from dataclasses import dataclass

from janusflow.options import option
from janusflow.serve.limits import Limits


@dataclass(frozen=True)
class DemoConfig(Limits):
    """Limits, and what the page shows."""

    port: int = option(7860, "port to listen on; 0 is any free one")
    queue: int = option(20, "drawings and answers that wait, at most; who comes then is told to try again")
    against: str | None = option(
        None, "model that Compare draws with too: as --model (default: the other shipped one, where it is there)"
    )
    open: bool = option(False, "open the page in a browser")
