"""Text to images. The command line, previews and scores all call it; :mod:`.answers` is its counterpart.

Legend: G images in a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from PIL import Image
from torch import Tensor

from janusflow.checkpoints.pretrained import Bundle, load_pretrained
from janusflow.data.transforms import to_images
from janusflow.inference.prompt_cache import PromptRunner
from janusflow.models.head import Worse
from janusflow.models.llm import LanguageModel
from janusflow.options import SamplingOptions
from janusflow.progress import Progress
from janusflow.samplers import OnStep
from janusflow.worlds.notes import note_foreign

SEEDS = 2**64  # that torch's generators tell apart


def generate_images(
    bundle: Bundle,
    prompts: Sequence[str],
    seeds: Sequence[int],
    options: SamplingOptions,
    batch_size: int = 16,
    progress: Progress | None = None,
    memory_gib: float | None = None,
    on_step: OnStep | None = None,
) -> list[Image.Image]:
    """One image for each prompt and seed. An image depends on its prompt, seed and options, not on its batch.

    options: those of the model's head. batch_size: images computed together at most; ``memory_gib`` may lower it (see
    :func:`largest_batch`). progress: ``progress(done, total)`` counts solver steps or codes over all batches; on_step:
    ``on_step(done, steps, latents)`` within a batch, with the latents (G, …) as they are.
    Raises ``ValueError`` for prompts that do not fit the model, unequal numbers of prompts and seeds, impossible seeds,
    batch sizes and memory limits, impossible options or those of the other head, or a model without image codec.
    """
    codec = bundle.required_codec
    images: list[Image.Image] = []
    for latents in sample_latents(bundle, prompts, seeds, options, batch_size, progress, memory_gib, on_step):
        for one in latents.split(1):  # a codec takes more memory than the latents' batch
            images += to_images(codec.decode(one))
    return images


@torch.inference_mode()
def sample_latents(
    bundle: Bundle,
    prompts: Sequence[str],
    seeds: Sequence[int],
    options: SamplingOptions,
    batch_size: int = 16,
    progress: Progress | None = None,
    memory_gib: float | None = None,
    on_step: OnStep | None = None,
) -> Iterator[Tensor]:
    """The latents (G, …) behind :func:`generate_images`, batch after batch; same arguments and errors."""
    head, llm = bundle.model.head, bundle.model.llm
    if not isinstance(options, head.Options):
        raise ValueError(f"the model has {head.family}, and the options are {type(options).__name__}")
    options.check()
    head.config.check_options(options)
    if len(prompts) != len(seeds):
        raise ValueError(f"{len(prompts)} prompts need as many seeds, got {len(seeds)}")
    impossible = [seed for seed in seeds if not 0 <= seed < SEEDS]
    if impossible:
        raise ValueError(f"a seed must lie in 0 .. 2**64 - 1, got {impossible[0]}")
    if batch_size < 1:
        raise ValueError(f"batch size must be at least 1, got {batch_size}")
    if memory_gib is not None and not 0 < memory_gib < math.inf:
        raise ValueError(f"the memory for a batch must be a number of GiB above 0, got {memory_gib}")
    tokens = [tokenize(bundle, prompt) for prompt in prompts]
    if memory_gib is not None and tokens:
        batch_size = min(batch_size, largest_batch(bundle, max(map(len, tokens)), options, memory_gib))
    note_foreign(bundle, prompts)
    device = llm.device
    worse = load_worse(bundle, path) if (path := getattr(options, "worse", None)) and options.guidance != 1 else None
    batches = range(0, len(prompts), batch_size)
    for number, start in enumerate(batches):
        part = slice(start, start + batch_size)

        def report(done: int, steps: int, latents: Tensor, before: int = number) -> None:
            if progress is not None:
                progress(before * steps + done, len(batches) * steps)
            if on_step is not None:
                on_step(done, steps, latents)

        runner = behind(bundle, tokens[part], guided=options.guidance != 1 and worse is None)
        given = {} if worse is None else {"worse": other_half(worse, prompts[part])}
        yield head.sample(runner, head.start(list(seeds[part]), device), options, report, **given)


def tokenize(bundle: Bundle, prompt: str) -> list[int]:
    """The prompt's ids, behind which the image's span begins. Raises ``ValueError`` where both do not fit the model."""
    ids = bundle.template.generation_prompt(prompt)
    check_length(
        len(ids) + bundle.model.head.num_tokens, bundle.model.llm, f"the prompt {shorten(prompt)!r} with its image"
    )
    return ids


def load_worse(bundle: Bundle, path: str) -> Bundle:
    """The worse model of autoguidance. Raises ``ValueError`` where it does not draw what the model draws."""
    dtype = next(bundle.model.parameters()).dtype
    worse = _worse(path, str(bundle.model.llm.device), dtype)
    ours, theirs = bundle.model.head, worse.model.head
    if type(ours) is not type(theirs) or ours.latent_shape != theirs.latent_shape:
        raise ValueError(
            f"autoguidance needs a model that draws as this one does: {path} has {theirs.family} for latents "
            f"{theirs.latent_shape}, this one {ours.family} for {ours.latent_shape}"
        )
    return worse


@lru_cache(maxsize=1)
def _worse(path: str, device: str, dtype: torch.dtype) -> Bundle:
    return load_pretrained(path, dtype=dtype, device=device, vae=None)


def behind(bundle: Bundle, tokens: Sequence[list[int]], guided: bool) -> PromptRunner:
    """The LLM behind prompts' tokens, and where it is ``guided`` behind the dropped ones, too."""
    head = bundle.model.head
    dropped = [bundle.template.dropped_prompt(ids) for ids in tokens] if guided else None
    return PromptRunner(bundle.model.llm, tokens, 1 + head.num_tokens, dropped, head.sees_all)


def other_half(bundle: Bundle, prompts: Sequence[str]) -> Worse:
    """A worse model behind the prompts."""
    tokens = [bundle.template.generation_prompt(prompt) for prompt in prompts]
    return Worse(bundle.model.head, behind(bundle, tokens, guided=False))


def largest_batch(bundle: Bundle, prompt_length: int, options: SamplingOptions, memory_gib: float) -> int:
    """How many images fit into ``memory_gib`` beside the weights, by an estimate that leans to too few; at least 1.

    An image's share: the keys and values of its rows in all blocks, their mask, the widest activations of one block,
    and those of the head.
    """
    llm, head = bundle.model.config.llm, bundle.model.head
    size = next(bundle.model.parameters()).element_size()
    length = prompt_length + 1 + head.num_tokens
    key_width = llm.num_kv_heads * llm.hidden_size // llm.num_heads
    cache = 2 * llm.num_layers * key_width * length * size
    mask = (1 + head.num_tokens) * length * size
    activations = (4 * llm.intermediate_size + 8 * llm.hidden_size) * length * size
    rows = 1 if options.guidance == 1 else 2
    share = rows * (cache + mask + activations + head.sample_bytes())
    return max(1, int(memory_gib * 2**30 / share))


def check_length(positions: int, llm: LanguageModel, what: str) -> None:
    """Raise ``ValueError`` where ``what`` needs more positions than the model has."""
    limit = llm.config.max_positions
    if positions > limit:
        raise ValueError(f"{what} takes {positions} positions, more than the model's {limit}")


def shorten(text: str, length: int = 40) -> str:
    """``text``, cut for an error message."""
    return text if len(text) <= length else text[: length - 1] + "…"
