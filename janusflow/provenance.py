"""How a picture was drawn, as its file says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from janusflow import __version__

if TYPE_CHECKING:
    from janusflow.checkpoints.pretrained import Bundle
    from janusflow.options import SamplingOptions


def made_by(
    bundle: Bundle,
    prompt: str,
    seed: int,
    options: SamplingOptions,
    image: str | None = None,
    size: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """What draws a picture again; ``image``: the name of the one that the prompt showed; ``size``: height and width."""
    shown = {} if image is None else {"image": image}
    shaped = {} if size is None else {"size": "x".join(map(str, size))}
    facts = {"prompt": prompt, **shown, "seed": seed, **shaped, **options.stated()}
    return {**facts, "model": bundle.digest, "version": __version__}
