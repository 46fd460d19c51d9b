"""The configuration of a run: the tree that a YAML file of ``configs/`` fills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from janusflow.adapters import AdapterConfig
from janusflow.data.config import DataConfig
from janusflow.data.template import ChatConfig
from janusflow.losses import LOSSES
from janusflow.models.head import HEADS, HeadConfig
from janusflow.models.shapes import parse_size
from janusflow.models.unified import ModelConfig
from janusflow.training.optim import OptimConfig
from janusflow.training.stages import StageConfig, check_parts

REPORT_TASKS = ("generation", "understanding")
EARLIER_SAMPLING = ("guidance", "steps", "sampler", "temperature", "top_k", "top_p")


@dataclass
class PartsConfig:
    """Where the pretrained parts are: paths inside the package's ``assets`` folder, else from the working folder.

    Either the parts one by one; or a whole model as ``checkpoint``, with its sizes, tokenizer and chat format; or, as
    ``run``, another run's last training state (weights, averages and REPA projector; the sizes must agree).
    """

    checkpoint: str | None = None  # model folder or hub id, such as deepseek-ai/JanusFlow-1.3B
    run: str | None = None  # run folder, such as that of the stage before
    tokenizer: str = "shapes/tokenizer.json"
    vae: str = "shapes/vae"  # flow head: a diffusers AutoencoderKL folder or hub id
    vq: str = "shapes/vq"  # autoregressive head: a transformers JanusVQVAE folder or hub id, or a Janus model with one
    vision: str | None = "shapes/siglip.safetensors"  # SigLIP image tower; None: random weights
    llm: str | None = "shapes/llm.safetensors"  # language model; None: random weights

    def codec(self, head: HeadConfig) -> str:
        """Where the image codec of such a head is."""
        return self.vae if head.head_class.latent_dtype.is_floating_point else self.vq


@dataclass
class PreviewConfig:
    """The sample grids of a run: one row of ``images`` pictures for each prompt."""

    every: int = 0  # steps between grids within a stage; 0: at the end of each stage only
    prompts: list[str] = field(default_factory=list)
    examples: int = 0  # rows of a captioned training image through the codec, then drawings of its caption
    reconstructions: int = 0  # rows of a training image through the codec, then drawings of what understanding sees
    edits: int = 0  # rows of an edited training image through the codec, then drawings of its instruction and source
    images: int = 6
    seed: int = 0
    sampling: dict[str, Any] = field(default_factory=dict)  # over the run's

    def __post_init__(self) -> None:
        if min(self.every, self.examples, self.reconstructions, self.edits) < 0 or self.images < 1:
            raise ValueError("preview needs every, examples, edits and reconstructions >= 0, and images >= 1")


@dataclass
class ReportConfig:
    """The scores that end a run (see ``eval.worlds``)."""

    tasks: list[str] = field(default_factory=lambda: list(REPORT_TASKS))  # what is scored; [] scores nothing
    prompts_per_tag: int = 8
    images_per_prompt: int = 2
    questions_per_kind: int = 40
    reference_images: int = 512  # rendered scenes behind the Frechet distance
    size: str | None = None  # HEIGHTxWIDTH in pixels of the pictures (default: the model's square)
    batch_size: int = 32
    sampling: dict[str, Any] = field(default_factory=dict)  # over the run's

    def __post_init__(self) -> None:
        unknown = sorted(set(self.tasks) - set(REPORT_TASKS))
        if unknown:
            raise ValueError(f"unknown task {unknown[0]!r} in report.tasks; choose from {', '.join(REPORT_TASKS)}")
        for name in ("prompts_per_tag", "images_per_prompt", "questions_per_kind", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"report.{name} must be at least 1, got {getattr(self, name)}")
        if self.size is not None:
            parse_size(self.size)
        if self.reference_images < 8:
            raise ValueError(f"report.reference_images must be at least 8, got {self.reference_images}")


@dataclass
class TrainerConfig:
    """How Lightning runs. Multi-node: ``torchrun`` on every node; its processes replace ``devices``."""

    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"  # auto: bf16 where the hardware has it
    devices: int = 1  # processes on this machine
    strategy: Literal["ddp", "fsdp"] = "ddp"  # fsdp: weights, averages and optimizer sharded (FSDP2)
    replicas: int = 1  # fsdp: copies of the sharded model, one a node for instance (hybrid sharding)
    accumulate: int = 1  # micro-batches in a step, on each process
    compile: bool = False  # torch.compile each block of the LLM
    checkpoint_activations: bool = False  # compute the LLM's blocks twice instead of keeping their activations
    save_every: int = 200  # steps between training states
    keep: int = 2  # training states that are kept; those of a stage go when the next one has its first
    log_every: int = 10  # steps between lines of the metrics
    validate_every: int = 0  # steps between losses of held-out samples (data.held_out); 0: at a stage's end only
    # Of these losses of held-out samples, such as validation/photos/ar, the model with the least sum stays in best/.
    keep_best: list[str] = field(default_factory=list)
    wandb: str | None = None  # project of Weights & Biases to log to as well

    def __post_init__(self) -> None:
        if self.validate_every < 0:
            raise ValueError(f"trainer.validate_every must be 0 or more, got {self.validate_every}")
        for name in ("devices", "replicas", "accumulate", "save_every", "keep", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"trainer.{name} must be at least 1, got {getattr(self, name)}")


@dataclass
class RunConfig:
    """A whole run."""

    name: str = "shapes"
    out: str = "runs"  # run folders are made here
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)  # rank > 0: stages that train llm train it instead
    parts: PartsConfig = field(default_factory=PartsConfig)
    chat: ChatConfig = field(default_factory=ChatConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    stages: dict[str, StageConfig] = field(default_factory=dict)  # run in this order
    # Options of the head's sampling over its defaults: of previews and scores, and the exported model's own.
    sampling: dict[str, Any] = field(default_factory=dict)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    preview: PreviewConfig = field(default_factory=PreviewConfig)
    report: ReportConfig = field(default_factory=ReportConfig)

    def __post_init__(self) -> None:
        if self.parts.checkpoint is not None and self.parts.run is not None:
            raise ValueError("parts.checkpoint and parts.run exclude each other")
        asking = [name for name, loss in self.model.used_losses.items() if loss.needs_reference]
        if asking and self.parts.checkpoint is None:
            raise ValueError(f"the loss {asking[0]} asks the model that the run begins with: set parts.checkpoint")
        seeing = [name for name, loss in self.model.used_losses.items() if LOSSES.load(loss.kind).needs_siglip]
        if seeing and any(source.kind == "pairs" for source in self.data.used_sources.values()):
            raise ValueError(f"pairs have no pictures, which the loss {seeing[0]} asks for: give it the weight 0")
        for name, stage in self.stages.items():
            check_parts(name, stage.train, self.model)
            if (dropped := self.data.prompt_drop + stage.editing.words_drop) > 1 and "editing" in stage.tasks:
                raise ValueError(f"data.prompt_drop and stages.{name}.editing.words_drop are more than 1: {dropped:g}")
            for task in ("reconstruction", "editing"):
                if task in stage.tasks and self.data.buckets:
                    raise ValueError(f"stages.{name} has {task}, which shows squares: it does not go with data.buckets")
        self._check_rollouts()
        self.check_sampling(self.model.head)
        if not self.stages:
            raise ValueError("the configuration has no stages")
        if self.adapter.rank and self.parts.checkpoint is None:
            raise ValueError("an adapter lies over a whole pretrained model: set parts.checkpoint (or adapter.rank=0)")
        if self.adapter.rank and not any("llm" in stage.train for stage in self.stages.values()):
            raise ValueError("no stage trains llm, and so none the adapter: add it to one, or set adapter.rank=0")

    def _check_rollouts(self) -> None:
        """Raise ``ValueError`` where stages that draw and losses that learn from it do not go together."""
        used = self.model.used_losses
        learning = [name for name, loss in used.items() if LOSSES.load(loss.kind).learns_from_rollouts]
        drawing = [name for name, stage in self.stages.items() if stage.rollout is not None]
        if len(learning) > 1:
            raise ValueError(f"one loss can learn from rollouts, and {', '.join(learning)} would")
        if learning and len(drawing) < len(self.stages):
            raise ValueError(f"the loss {learning[0]} learns from rollouts: every stage needs a rollout")
        if drawing and self.data.buckets:
            raise ValueError(f"stages.{drawing[0]}.rollout draws squares: it does not go with data.buckets")
        if drawing and not learning:
            raise ValueError(
                f"stages.{drawing[0]}.rollout draws, and no loss learns of it: give nft, flow_grpo or grpo a weight"
            )
        kinds = {name: LOSSES.load(loss.kind) for name, loss in used.items()}
        seeing = [
            name for name, kind in kinds.items() if name == "image" or kind.needs_siglip or kind.learns_from_pictures
        ]
        if drawing and seeing:
            raise ValueError(f"the loss {seeing[0]} learns from pictures of the data, and rollouts have none: weight 0")
        for name in drawing:
            stage = self.stages[name]
            if not all(ratio.generation for ratio in stage.ratios):
                raise ValueError(f"stages.{name} has a rollout, and its mixture no generation")
            for task in ("reconstruction", "editing"):
                if task in stage.tasks:
                    raise ValueError(f"stages.{name} has a rollout, and its loss learns nothing of {task}")

    def check_sampling(self, head: HeadConfig, *own: Mapping[str, Any]) -> None:
        """Raise ``ValueError`` where a model with such a head, and options of its ``own``, cannot draw as the run
        wants."""
        for name, layers in (("sampling", {}), ("preview", self.preview.sampling), ("report", self.report.sampling)):
            try:
                head.sampling(*own, self.sampling, layers)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        kinds = [(cast(Any, LOSSES.load(loss.kind)), loss) for loss in self.model.used_losses.values()]
        learning = [kind(loss, self.model) for kind, loss in kinds if kind.learns_from_rollouts]
        for name, stage in self.stages.items():
            if stage.rollout is None:
                continue
            try:
                options = head.sampling(self.sampling, stage.rollout.sampling)
                for loss in learning:
                    loss.check_sampling(options)
            except ValueError as error:
                raise ValueError(f"stages.{name}.rollout: {error}") from error

    @staticmethod
    def respell(values: dict[str, Any], below: dict[str, Any]) -> dict[str, Any]:
        """Earlier files and commands: options of sampling as keys of ``preview`` and ``report``, of any head."""
        values = dict(values)
        kind = ModelConfig.respell(values.get("model") or {}, below.get("model") or {}).get("head", {}).get("kind")
        kind = kind or (below.get("model") or {}).get("head", {}).get("kind")
        names = EARLIER_SAMPLING if kind is None else HEADS.load(kind).Options.names()
        sampling = dict(values.get("sampling", {}))
        for section in ("preview", "report"):
            keys = dict(values.get(section) or {})
            found = {name: keys.pop(name) for name in EARLIER_SAMPLING if name in keys}
            found = {name: value for name, value in found.items() if name in names}
            if found and section == "preview":
                sampling = {**found, **sampling}  # which exported models had as their own
            elif found:
                keys["sampling"] = {**found, **keys.get("sampling", {})}
            if section in values:
                values[section] = keys
        return {**values, "sampling": sampling} if sampling else values
