"""Text, and images that it shows, to images. The command line, previews and scores all call it.

Its counterpart is :mod:`.answers`.

Legend: G images in a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor

from janusflow.checkpoints.pretrained import Bundle, load_pretrained
from janusflow.data.reconstruction import REQUESTS
from janusflow.data.transforms import central_square, generation_pixels, to_images, understanding_pixels
from janusflow.guidance import Dropped, dropped_forms
from janusflow.inference.prompt_cache import PromptRunner
from janusflow.models.head import Worse
from janusflow.models.llm import LanguageModel
from janusflow.models.shapes import Grid, Size, grid_for
from janusflow.options import SamplingOptions
from janusflow.progress import Progress
from janusflow.samplers import OnStep
from janusflow.worlds.notes import note_foreign

SEEDS = 2**64  # that torch's generators tell apart

T = TypeVar("T")


def generate_images(
    bundle: Bundle,
    prompts: Sequence[str],
    seeds: Sequence[int],
    options: SamplingOptions,
    batch_size: int = 16,
    progress: Progress | None = None,
    memory_gib: float | None = None,
    on_step: OnStep | None = None,
    images: Sequence[Image.Image | None] | None = None,
    size: Size | None = None,
) -> list[Image.Image]:
    """One image for each prompt and seed. An image depends on its prompt, seed and options, not on its batch.

    images: what each prompt shows in front of its words, the central square of it; None of those that are words alone.
    size: pixels, height and width (default: the model's square). options: those of the model's head. batch_size: images
    computed together at most; ``memory_gib`` may lower it (see :func:`largest_batch`). progress:
    ``progress(done, total)`` counts solver steps or codes over all batches; on_step: ``on_step(done, steps, latents)``
    within a batch, with the latents (G, …) as they are.
    Raises ``ValueError`` for prompts that do not fit the model, unequal numbers of prompts, seeds and images,
    impossible seeds, batch sizes and memory limits, impossible options or those of the other head, or a model without
    image codec.
    """
    codec = bundle.required_codec
    drawn: list[Image.Image] = []
    grid = None if size is None else grid_for(bundle.model.config, size)
    given = (progress, memory_gib, on_step, images, size)
    for latents in sample_latents(bundle, prompts, seeds, options, batch_size, *given):
        for one in latents.split(1):  # a codec takes more memory than the latents' batch
            drawn += to_images(codec.decode(one, grid))
    return drawn


def paired(prompts: Sequence[str], images: Sequence[T]) -> list[tuple[str, T | None]]:
    """Each prompt with the image that it shows: one of each, or one prompt or one image for all of the others.

    Images without any prompt have the request to draw them again. Raises ``ValueError`` for numbers that do not pair.
    """
    if not images:
        return [(prompt, None) for prompt in prompts]
    prompts = prompts or REQUESTS[:1]
    count = max(len(prompts), len(images))
    if {len(prompts), len(images)} - {1, count}:
        raise ValueError(f"{len(prompts)} prompts and {len(images)} images do not pair: give as many, or one of either")
    return [(prompts[n % len(prompts)], images[n % len(images)]) for n in range(count)]


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
    images: Sequence[Image.Image | None] | None = None,
    size: Size | None = None,
) -> Iterator[Tensor]:
    """The latents (G, …) behind :func:`generate_images`, batch after batch; same arguments and errors."""
    head, llm = bundle.model.head, bundle.model.llm
    if not isinstance(options, head.Options):
        raise ValueError(f"the model has {head.family}, and the options are {type(options).__name__}")
    options.check()
    head.config.check_options(options)
    if len(prompts) != len(seeds):
        raise ValueError(f"{len(prompts)} prompts need as many seeds, got {len(seeds)}")
    if images is not None and len(images) != len(prompts):
        raise ValueError(f"{len(prompts)} prompts need as many images, or None in their places, got {len(images)}")
    impossible = [seed for seed in seeds if not 0 <= seed < SEEDS]
    if impossible:
        raise ValueError(f"a seed must lie in 0 .. 2**64 - 1, got {impossible[0]}")
    if batch_size < 1:
        raise ValueError(f"batch size must be at least 1, got {batch_size}")
    if memory_gib is not None and not 0 < memory_gib < math.inf:
        raise ValueError(f"the memory for a batch must be a number of GiB above 0, got {memory_gib}")
    grid = None if size is None else grid_for(bundle.model.config, size)
    shown = [[] if image is None else [central_square(image)] for image in images or [None] * len(prompts)]
    tokens = [tokenize(bundle, prompt, len(own), grid) for prompt, own in zip(prompts, shown, strict=True)]
    weight = getattr(options, "image_guidance", None)
    if memory_gib is not None and tokens:
        batch_size = min(batch_size, largest_batch(bundle, max(map(len, tokens)), options, memory_gib, grid))
    note_foreign(bundle, prompts, [image for own in shown for image in own])
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

        seen = [image for own in shown[part] for image in own]
        forms = dropped_forms(options.guidance, weight if seen else None) if worse is None else ()
        runner = behind(bundle, tokens[part], forms, seen, grid)
        given = {} if worse is None else {"worse": other_half(worse, prompts[part], shown[part], grid)}
        shape = () if grid is None else (grid,)
        yield head.sample(runner, head.start(list(seeds[part]), device, *shape), options, report, **given)


def tokenize(bundle: Bundle, prompt: str, images: int = 0, grid: Grid | None = None) -> list[int]:
    """The ids of a prompt that shows ``images``, behind which the drawn image's span begins, of ``grid``'s tokens.

    Raises ``ValueError`` where both do not fit the model.
    """
    ids = bundle.template.generation_prompt(prompt, images=images)
    tokens = bundle.model.head.num_tokens if grid is None else grid.tokens
    check_length(len(ids) + tokens, bundle.model.llm, f"the prompt {shorten(prompt)!r} with its image")
    return ids


def load_worse(bundle: Bundle, path: str) -> Bundle:
    """The worse model of autoguidance. Raises ``ValueError`` where it does not draw what the model draws."""
    dtype = next(bundle.model.parameters()).dtype
    written = max((file.stat().st_mtime_ns for file in Path(path).glob("**/*.safetensors")), default=0)
    worse = _worse(path, written, str(bundle.model.llm.device), dtype)
    ours, theirs = bundle.model.head, worse.model.head
    if type(ours) is not type(theirs) or ours.latent_shape != theirs.latent_shape:
        raise ValueError(
            f"autoguidance needs a model that draws as this one does: {path} has {theirs.family} for latents "
            f"{theirs.latent_shape}, this one {ours.family} for {ours.latent_shape}"
        )
    return worse


@lru_cache(maxsize=1)
def _worse(path: str, written: int, device: str, dtype: torch.dtype) -> Bundle:
    return load_pretrained(path, dtype=dtype, device=device, vae=None)


def behind(
    bundle: Bundle,
    tokens: Sequence[list[int]],
    forms: Sequence[Dropped] = (),
    images: Sequence[Image.Image] = (),
    grid: Grid | None = None,
) -> PromptRunner:
    """The LLM behind prompts' tokens, and behind each of the ``forms`` of dropped ones, too.

    images: what the prompts show, in their order. grid: tokens of the image that is drawn (default: the square's).
    """
    model = bundle.model
    grid = grid or Grid(model.head.config.grid, model.head.config.grid)
    left = [without(bundle, ids, form) for form in forms for ids in tokens]
    dropped, begins = [ids for ids, _ in left] or None, [begin for _, begin in left] or None
    embed, offsets = partial(embed_prompts, bundle, images=images), model.span_offsets(grid)
    return PromptRunner(model.llm, tokens, 1 + grid.tokens, dropped, model.head.sees_all, embed, begins, offsets)


def without(bundle: Bundle, ids: list[int], form: Dropped) -> tuple[list[int], int]:
    """What is left of a prompt in front of the drawn span, and where that begins: of one that shows images, and loses
    its words, what an empty prompt is that shows them."""
    template = bundle.template
    shown = len(template.spans(ids[:-1])[0]) if form == "words" else 0
    if not shown:
        return template.dropped_prompt(ids), len(ids) - 1
    wordless = template.generation_prompt("", images=shown)
    return wordless[:-1], len(wordless) - 1


def other_half(
    bundle: Bundle, prompts: Sequence[str], shown: Sequence[Sequence[Image.Image]], grid: Grid | None = None
) -> Worse:
    """A worse model behind the prompts and what they show."""
    tokens = [tokenize(bundle, prompt, len(own), grid) for prompt, own in zip(prompts, shown, strict=True)]
    seen = [image for own in shown for image in own]
    return Worse(bundle.model.head, behind(bundle, tokens, images=seen, grid=grid))


def embed_prompts(bundle: Bundle, ids: Tensor, images: Sequence[Image.Image]) -> Tensor:
    """Embeddings (B, L, D) of prompts (B, L), whose image slots take all their images in turn, and again where prompts
    without their words follow."""
    model = bundle.model
    embeds = model.llm.embed(ids)
    if not images:
        return embeds
    size = model.config.vision.image_size
    pixels = torch.stack([understanding_pixels(image, size, bundle.preprocessing) for image in images])
    aligned = model.embed_understanding(bundle.sight(pixels.to(embeds.device, embeds.dtype)))
    slots = ids == bundle.tokenizer.image
    if model.vision.begin_embed is not None:
        slots |= ids == bundle.tokenizer.boi
    begins = [bundle.template.spans(row)[1] for row in ids.tolist()] if model.config.source_latents else []
    if any(begins):
        clean = torch.stack([generation_pixels(image, size) for image in images]).to(embeds.device)
        shown = model.head.show(bundle.required_codec.encode(clean))
        rows, places = (torch.tensor(one, device=ids.device) for one in zip(*enumerated(begins), strict=True))
        places = places.unsqueeze(1) + torch.arange(shown.shape[1], device=ids.device)
        slots[rows.unsqueeze(1), places] = False
        embeds[rows.unsqueeze(1), places] = shown.repeat(len(rows) // len(shown), 1, 1).to(embeds.dtype)
    aligned = aligned.flatten(0, 1).to(embeds.dtype)
    embeds[slots] = aligned.repeat(int(slots.sum()) // len(aligned), 1)
    return embeds


def enumerated(several: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """All values with the number of the sequence that each is in."""
    return [(number, value) for number, values in enumerate(several) for value in values]


def largest_batch(
    bundle: Bundle, prompt_length: int, options: SamplingOptions, memory_gib: float, grid: Grid | None = None
) -> int:
    """How many images fit into ``memory_gib`` beside the weights, by an estimate that leans to too few; at least 1.

    An image's share: the keys and values of its rows in all blocks, their mask, the widest activations of one block,
    and those of the head.
    """
    llm, head = bundle.model.config.llm, bundle.model.head
    size = next(bundle.model.parameters()).element_size()
    tokens = head.num_tokens if grid is None else grid.tokens
    length = prompt_length + 1 + tokens
    key_width = llm.num_kv_heads * llm.hidden_size // llm.num_heads
    cache = 2 * llm.num_layers * key_width * length * size
    mask = (1 + tokens) * length * size
    activations = (4 * llm.intermediate_size + 8 * llm.hidden_size) * length * size
    rows = 1 + len(dropped_forms(options.guidance, getattr(options, "image_guidance", None)))
    share = rows * (cache + mask + activations + head.sample_bytes() * max(1, tokens / head.num_tokens))
    return max(1, int(memory_gib * 2**30 / share))


def check_length(positions: int, llm: LanguageModel, what: str) -> None:
    """Raise ``ValueError`` where ``what`` needs more positions than the model has."""
    limit = llm.config.max_positions
    if positions > limit:
        raise ValueError(f"{what} takes {positions} positions, more than the model's {limit}")


def shorten(text: str, length: int = 40) -> str:
    """``text``, cut for an error message."""
    return text if len(text) <= length else text[: length - 1] + "…"
