"""The worlds whose pictures can be judged."""

import pytest

from janusflow.weights import ASSETS
from janusflow.worlds.casts import CASTS
from janusflow.worlds.scenes import World


def needs_judge(cast: str) -> None:
    """Skip where a cast's detector or SigLIP is not there."""
    from eval.worlds.detector import FILE as DETECTOR
    from janusflow.parts.siglip import FILE as SIGLIP

    files = [ASSETS / cast / SIGLIP, *([DETECTOR] if cast == "objects" else [])]
    missing = [path.name for path in files if not path.exists()]
    if missing:
        pytest.skip(f"not trained yet, for the {cast}: {', '.join(missing)}")


@pytest.fixture(params=CASTS.own)
def judged_world(request) -> World:
    """Each cast, free."""
    needs_judge(request.param)
    return World(request.param, "free")
