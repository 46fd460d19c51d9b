"""Whether a run can start, before its folder is made: first all that needs no weights, then what it opens."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from janusflow.checkpoints.adapters import SETTINGS, unfold
from janusflow.checkpoints.pretrained import Bundle, read_config
from janusflow.config import load_config
from janusflow.data.buckets import buckets_of
from janusflow.data.config import DataConfig
from janusflow.data.editing import squared
from janusflow.data.readers.base import Reader
from janusflow.data.reconstruction import ReconstructionConfig
from janusflow.data.sample import GenerationSample
from janusflow.data.sources import MixedSource, open_readers
from janusflow.data.template import ChatTemplate
from janusflow.inference.images import shorten
from janusflow.losses import LOSSES
from janusflow.models.head import HeadConfig
from janusflow.models.shapes import grid_for, parse_size
from janusflow.models.unified import ModelConfig
from janusflow.rl.prompts import PROMPTS
from janusflow.training import checkpoints, distributed
from janusflow.training.build import build_bundle, check_head, locate, read_start
from janusflow.training.checkpoints import Checkpoint
from janusflow.training.config import PartsConfig, RunConfig, TrainerConfig
from janusflow.training.plan import check_stages
from janusflow.training.stages import StageConfig
from janusflow.weights import HUB_SETTINGS, model_folder, read_json_object
from janusflow.worlds.source import world_of


class Start(NamedTuple):
    """What a run works with."""

    bundle: Bundle  # the untrained model with its pretrained parts
    readers: dict[str, Reader]  # of the sources that are used
    examples: list[GenerationSample]  # of the previews
    origin: Checkpoint | None  # the state of another run to begin from


def check_start(config: RunConfig) -> None:
    """Raise ``ValueError`` for what would end the run and shows without opening data or weights; data paths first.

    Prompts of rollouts are read. Of a checkpoint on the hub, only the configuration and the tokenizer are fetched.
    """
    check_trainer(config.trainer)
    check_adapter(config)
    check_writable(Path(config.out))
    check_paths(config.data)
    check_rollouts(config.stages)
    check_parts(config.parts, config.parts.codec(config.model.head))
    sizes, template = read_start(config)
    config.check_sampling(sizes.head, *own_sampling(config.parts.checkpoint))
    check_stages(config.stages, sizes, config.data.offered_tasks)
    config.adapter.check(sizes.llm)
    check_lengths(config, sizes, template)
    check_prompts(config, sizes, template)
    check_report(config, sizes)
    for key, task, what in (
        ("examples", "generation", "captioned images"),
        ("reconstructions", "reconstruction", "images"),
        ("edits", "editing", "edits"),
    ):
        if getattr(config.preview, key) and (not config.data.sources or task not in config.data.offered_tasks):
            raise ValueError(f"preview.{key} shows {what} of data.sources; the data has none: set preview.{key}=0")


def open_start(config: RunConfig, new: bool) -> Start:
    """Open the data, then build the model. ``new``: no training state of the run's own takes the place of an origin.

    Raises ``ValueError`` where files are missing, damaged, or do not go together.
    """
    readers = open_readers(config.data)
    source = MixedSource(config.data, config.seed, readers)
    origin = last_state(Path(config.parts.run), config.model.head) if new and config.parts.run is not None else None
    bundle = build_bundle(config)
    source.check_latents(bundle.required_codec, config.data.drawn_size)
    return Start(bundle, readers, preview_examples(config, source, bundle), origin)


def preview_examples(config: RunConfig, source: MixedSource, bundle: Bundle) -> list[GenerationSample]:
    """The images that previews show beside drawings: of captions, of what understanding sees, and of edits."""
    examples: list[GenerationSample] = []
    if config.preview.examples:
        template, limit = bundle.template, bundle.model.config.llm.max_positions
        tokens = max(bucket.grid.tokens for bucket in buckets_of(config.data.buckets, bundle.model.config))
        examples += source.examples(config.preview.examples, lambda prompt: fits(prompt, template, limit, tokens))
    if config.preview.reconstructions:
        stages = [stage.reconstruction for stage in config.stages.values() if "reconstruction" in stage.tasks]
        shown, rng = [*stages, ReconstructionConfig()][0], np.random.default_rng(config.seed)
        found = source.examples(config.preview.reconstructions, lambda prompt: True, "reconstruction")
        examples += [shown.prompted(sample, rng) for sample in found]
    if config.preview.edits:
        examples += map(squared, source.examples(config.preview.edits, task="editing"))
    return examples


def check_trainer(config: TrainerConfig) -> None:
    """Raise ``ValueError`` for processes that cannot be divided, or a logger that is not installed."""
    ranks = int(os.environ.get("WORLD_SIZE", config.devices))
    distributed.check_gpus(int(os.environ.get("LOCAL_WORLD_SIZE", config.devices)))
    if config.strategy == "fsdp" and ranks > 1 and ranks % config.replicas:
        raise ValueError(f"trainer.replicas {config.replicas} does not divide the {ranks} processes")
    package = find_spec("wandb")
    if config.wandb is not None and (package is None or package.origin is None):  # a mere folder has none
        raise ValueError("trainer.wandb needs Weights & Biases: pip install wandb")


def check_adapter(config: RunConfig) -> None:
    """Raise ``ValueError`` for an adapter in a sharded run: average and weights share what does not train.

    Or for one that drops beside a loss that learns from rollouts: those are drawn without dropout.
    """
    ranks = int(os.environ.get("WORLD_SIZE", config.trainer.devices))
    if config.adapter.rank and ranks > 1 and config.trainer.strategy == "fsdp":
        raise ValueError("an adapter does not train sharded: set trainer.strategy=ddp")
    learning = [name for name, loss in config.model.used_losses.items() if LOSSES.load(loss.kind).learns_from_rollouts]
    if config.adapter.rank and config.adapter.dropout and learning:
        raise ValueError(
            f"the loss {learning[0]} learns of images that are drawn without dropout: set adapter.dropout=0, "
            f"got {config.adapter.dropout}"
        )


def check_writable(folder: Path) -> None:
    """Raise ``ValueError`` where run folders cannot be made in ``folder``."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ValueError(f"run folders cannot be made in out={folder}: {existing} is not a folder that can be written")


def check_paths(data: DataConfig) -> None:
    """Raise ``ValueError`` for a source whose files or image folder are not there. Nothing is opened or fetched."""
    for name, source in data.used_sources.items():
        try:
            source.check_files()
        except ValueError as error:
            raise ValueError(f"data.sources.{name}.{error}") from error


def check_rollouts(stages: dict[str, StageConfig]) -> None:
    """Raise ``ValueError`` for a file of prompts that is not there."""
    for name, stage in stages.items():
        if stage.rollout is not None:
            try:
                stage.rollout.prompts.check_files()
            except ValueError as error:
                raise ValueError(f"stages.{name}.rollout.prompts.{error}") from error


def check_parts(parts: PartsConfig, codec: str) -> None:
    """Raise ``ValueError`` for a pretrained part that is no file, and no hub id where one may stand."""
    codec = locate(codec)
    if not Path(codec).exists() and codec.count("/") != 1:
        raise ValueError(f"no image codec at {codec}")
    for name in ("tokenizer", "llm", "vision") if parts.checkpoint is None else ():
        path = getattr(parts, name)
        if path is not None and not Path(locate(path)).is_file():
            raise ValueError(f"parts.{name}: there is no file {path}")


def own_sampling(checkpoint: str | None) -> list[dict[str, Any]]:
    """How a checkpoint's model draws by itself: its options, and over them those of each adapter."""
    if checkpoint is None:
        return []
    whole, adapters = unfold(checkpoint)
    over = [read_json_object(folder / SETTINGS, required=False).get("sampling", {}) for folder in adapters]
    return [read_config(model_folder(whole, files=HUB_SETTINGS)).sampling, *over]


def check_lengths(config: RunConfig, sizes: ModelConfig, template: ChatTemplate) -> None:
    """Raise ``ValueError`` for rows beyond the model's positions or below an image, and prompts that do not fit."""
    limit = sizes.llm.max_positions
    tokens = max(bucket.grid.tokens for bucket in buckets_of(config.data.buckets, sizes))
    row = config.data.max_length or limit
    if row > limit:
        raise ValueError(f"data.max_length {row} is more than the {limit} positions of the language model")
    for name, stage in config.stages.items():
        least = len(template.generation_prompt("", stage.instruction)) + tokens
        if least > row and any(ratio.generation for ratio in stage.ratios):
            raise ValueError(f"{name} draws images, and one takes {least} tokens, more than the {row} of a row")
        least = len(template.generation_prompt("", stage.instruction, images=1)) + template.image_tokens
        if least > row and "editing" in stage.tasks:
            raise ValueError(f"{name} edits images, and one takes {least} tokens, more than the {row} of a row")
        for request in stage.reconstruction.requests if "reconstruction" in stage.tasks else ():
            length = len(template.generation_prompt(request, stage.instruction, images=1)) + tokens
            if length > row:
                raise ValueError(
                    f"{name} draws images again, and one takes {length} tokens with {shorten(request)!r}, more than "
                    f"the {row} of a row"
                )
    for prompt in config.preview.prompts:
        if not fits(prompt, template, limit, tokens):
            raise ValueError(f"preview.prompts: {shorten(prompt)!r} and an image take more than {limit} positions")


def check_prompts(config: RunConfig, sizes: ModelConfig, template: ChatTemplate) -> None:
    """Raise ``ValueError`` for prompts of rollouts that are no such, too few for a round, or too long for a row."""
    row = config.data.max_length or sizes.llm.max_positions
    for name, stage in config.stages.items():
        if stage.rollout is None:
            continue
        given = stage.rollout.prompts
        try:
            for prompt in PROMPTS.load(given.kind)(given).shown(stage.rollout.prompts_per_round):
                if not fits(prompt["prompt"], template, row):
                    raise ValueError(f"{shorten(prompt['prompt'])!r} and an image take more than the {row} of a row")
        except ValueError as error:
            raise ValueError(f"stages.{name}.rollout.prompts: {error}") from error


def check_report(config: RunConfig, sizes: ModelConfig) -> None:
    """Raise ``ValueError`` for a size of the report's pictures that the model cannot draw, or nobody can judge."""
    if config.report.size is None:
        return
    height, width = parse_size(config.report.size)
    grid_for(sizes, (height, width))
    world = world_of(config.data)
    if world is not None and height != width and (world.cast, world.level) != ("shapes", "free"):
        raise ValueError(
            f"report.size {config.report.size}: pictures that are no squares are judged in the world shapes (free) "
            f"alone, not in {world}"
        )


def fits(prompt: str, template: ChatTemplate, limit: int, tokens: int | None = None) -> bool:
    """Whether a prompt and its image take at most ``limit`` positions. Raises ``ValueError`` for a reserved token.

    tokens: of the image (default: the square's).
    """
    return len(template.generation_prompt(prompt)) + (tokens or template.image_tokens) <= limit


def last_state(folder: Path, head: HeadConfig) -> Checkpoint:
    """The last training state of a run. Raises ``ValueError`` where it has none, or another kind of generation head."""
    path = folder / "config.yaml"
    if not path.exists():
        raise ValueError(f"no run to begin from at {folder}: there is no config.yaml in it")
    config = load_config(RunConfig, path)
    check_head(config.model.head, head, f"the run {folder}")
    found = checkpoints.find(folder / "checkpoints", list(config.stages))
    if not found:
        raise ValueError(f"the run {folder} has no training state yet")
    return found[-1]
