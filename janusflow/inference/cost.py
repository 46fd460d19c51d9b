"""What drawing takes, counted around real draws: operations, and passes of the LLM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from janusflow.checkpoints.pretrained import Bundle
from janusflow.data.transforms import to_images
from janusflow.inference.images import sample_latents
from janusflow.models.llm import LanguageModel
from janusflow.options import SamplingOptions


class Passes(NamedTuple):
    """Passes of the LLM: rows it ran, and positions in all of them."""

    rows: int
    positions: int


def count_work(bundle: Bundle, prompts: Sequence[str], options: SamplingOptions) -> dict[str, float]:
    """Per picture of these prompts, drawn together: operations, those of the codec, and the LLM's rows and positions.

    The steps are those of :func:`janusflow.inference.images.generate_images`, with the codec apart.
    """
    images, seeds = len(prompts), range(len(prompts))
    with FlopCounterMode(display=False) as sampling, count_passes(bundle.model.llm) as calls:
        latents = torch.cat(list(sample_latents(bundle, prompts, seeds, options, images)))
    with FlopCounterMode(display=False) as decoding:
        for one in latents.split(1):
            to_images(bundle.required_codec.decode(one))
    return {
        "flops": (sampling.get_total_flops() + decoding.get_total_flops()) / images,
        "flops_codec": decoding.get_total_flops() / images,
        "llm_rows": sum(call.rows for call in calls) / images,
        "llm_positions": sum(call.positions for call in calls) / images,
    }


@contextmanager
def count_passes(llm: LanguageModel) -> Iterator[list[Passes]]:
    """What the LLM runs inside the block, a pass an entry: each goes through the first query projection once."""
    calls: list[Passes] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        rows, length = inputs[0].shape[:2]
        calls.append(Passes(rows, rows * length))

    first: Any = llm.blocks[0]
    hook = first.self_attn.q_proj.register_forward_hook(note)
    try:
        yield calls
    finally:
        hook.remove()
