"""The configuration of a run: the tree that a YAML file of ``configs/`` fills."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from janusflow.data.config import DataConfig
from janusflow.data.template import ChatConfig
from janusflow.inference.options import SamplingConfig
from janusflow.models.unified import ModelConfig
from janusflow.training.optim import OptimConfig
from janusflow.training.previews import PreviewConfig
from janusflow.training.run import TrainerConfig
from janusflow.training.stages import StageConfig

REPORT_TASKS = ("generation", "understanding")


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

    def codec(self, head: Literal["flow", "ar"]) -> str:
        """Where the image codec of that head is."""
        return self.vae if head == "flow" else self.vq


@dataclass
class ReportConfig(SamplingConfig):
    """The scores that end a run (see ``eval.shapes``)."""

    tasks: list[str] = field(default_factory=lambda: list(REPORT_TASKS))  # what is scored; [] scores nothing
    prompts_per_tag: int = 8
    images_per_prompt: int = 2
    questions_per_kind: int = 40
    reference_images: int = 512  # rendered scenes behind the Frechet distance
    batch_size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = sorted(set(self.tasks) - set(REPORT_TASKS))
        if unknown:
            raise ValueError(f"unknown task {unknown[0]!r} in report.tasks; choose from {', '.join(REPORT_TASKS)}")
        for name in ("prompts_per_tag", "images_per_prompt", "questions_per_kind", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"report.{name} must be at least 1, got {getattr(self, name)}")
        if self.reference_images < 2:
            raise ValueError(f"report.reference_images must be at least 2, got {self.reference_images}")


@dataclass
class RunConfig:
    """A whole run."""

    name: str = "shapes"
    out: str = "runs"  # run folders are made here
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    parts: PartsConfig = field(default_factory=PartsConfig)
    chat: ChatConfig = field(default_factory=ChatConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    stages: dict[str, StageConfig] = field(default_factory=dict)  # run in this order
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    preview: PreviewConfig = field(default_factory=PreviewConfig)
    report: ReportConfig = field(default_factory=ReportConfig)

    def __post_init__(self) -> None:
        if self.parts.checkpoint is not None and self.parts.run is not None:
            raise ValueError("parts.checkpoint and parts.run exclude each other")
        codes = self.model.ar_head.codebook_size
        for name, sampling in (("preview", self.preview), ("report", self.report)):
            if self.model.head == "ar" and sampling.top_k is not None and sampling.top_k > codes:
                raise ValueError(f"{name}.top_k {sampling.top_k} is more than the codebook's {codes} codes")
        if not self.stages:
            raise ValueError("the configuration has no stages")
