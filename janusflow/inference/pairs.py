"""``janusflow pairs``: noise and what a trained flow makes of it, for students that go there straight (reflow).

Liu et al. 2022 (arXiv:2209.03003): a flow trained on the pairs of another one's ends has straighter paths. The teacher
draws with its guidance, which the student so learns. Of a pair the prompt, the noise's seed and the latents are stored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from janusflow.checkpoints.pretrained import Bundle
from janusflow.data.latents import signature
from janusflow.data.pieces import Piece, Pieces, split
from janusflow.data.readers.pairs import LISTING, PIECE
from janusflow.inference.images import sample_latents, tokenize
from janusflow.options import SamplingOptions
from janusflow.progress import Progress
from janusflow.weights import writing


def make_pairs(
    bundle: Bundle,
    prompts: Sequence[str],
    seed: int,
    options: SamplingOptions,
    folder: Path,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> list[Path]:
    """Store a pair for each prompt in ``folder``, the noise's seeds counting up from ``seed``; returns the files.

    What is stored already stays; any number of processes may do the same at once. progress: ``progress(done, total)``
    counts pairs. Raises ``ValueError`` for a model that does not draw by flow, for a folder of other pairs, and as
    :func:`~janusflow.inference.images.sample_latents`.
    """
    if not bundle.model.head.latent_dtype.is_floating_point:
        raise ValueError(f"pairs are noise and latents of a flow, and the model has {bundle.model.head.family}")
    if seed < 0:
        raise ValueError(f"the seeds must be 0 or more, got {seed}")
    for prompt in dict.fromkeys(prompts):
        tokenize(bundle, prompt)
    listing = [{"prompt": prompt, "seed": seed + number} for number, prompt in enumerate(prompts)]
    content = "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in listing)
    claim(folder, content)
    maker = PairMaker(bundle, listing, options, sha256(content.encode()).hexdigest()[:12], batch_size)
    done = 0

    def count(pairs: int) -> None:
        nonlocal done
        done += pairs
        if progress is not None:
            progress(done, len(prompts))

    pieces = split(len(listing), PIECE, folder)
    for piece in pieces:
        maker.run(piece, count)
    return [piece.path for piece in pieces]


def claim(folder: Path, content: str) -> None:
    """Write the listing, one of many processes. Raises ``ValueError`` where there is another one."""
    path = folder / LISTING
    with writing(f"the listing {path}"):
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            unfinished = path.with_suffix(f".{os.getpid()}.part")
            unfinished.write_text(content, encoding="utf-8")
            unfinished.replace(path)
    if path.read_text(encoding="utf-8") != content:
        raise ValueError(f"{folder} holds pairs of other prompts or seeds: choose another folder")


class PairMaker(Pieces):
    """Draws the latents of a listing's pairs."""

    def __init__(
        self, bundle: Bundle, listing: Sequence[dict], options: SamplingOptions, listed: str, batch_size: int
    ) -> None:
        side = bundle.model.config.vision.image_size
        made_by = signature(bundle.required_codec, side)
        made_by |= {"model": bundle.digest, "sampling": json.dumps(options.stated()), "listing": listed}
        super().__init__(made_by, batch_size)
        self.bundle, self.listing, self.options = bundle, listing, options

    def name(self, item: int) -> str:
        return f"{item:08d}"

    def make(self, batch: Piece) -> tuple[dict[str, Tensor], list[str]]:
        pairs = [self.listing[item] for item in batch.items]
        prompts, seeds = [pair["prompt"] for pair in pairs], [pair["seed"] for pair in pairs]
        latents = torch.cat([*sample_latents(self.bundle, prompts, seeds, self.options, len(pairs))]).float().cpu()
        return {self.name(item): latent.clone() for item, latent in zip(batch.items, latents, strict=True)}, []
