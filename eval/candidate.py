"""The model that is scored: what it draws and answers for a task, and what a result says about it."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch
from PIL import Image

from eval.task import Drawing, Question, Record
from janusflow import __version__
from janusflow.checkpoints.pretrained import Bundle
from janusflow.inference.answers import Conversation, DecodingOptions, answer, tokenize
from janusflow.inference.images import check_length, generate_images, shorten
from janusflow.models.shapes import Size, grid_for
from janusflow.options import SamplingOptions

CPU_INFO = Path("/proc/cpuinfo")  # Linux
LIBRARIES = ("torch", "transformers", "diffusers", "timm", "numpy", "scipy", "pillow")


class Candidate:
    """A model with its sampling settings. ``seed`` is added to the seeds of every drawing."""

    def __init__(self, bundle: Bundle, sampling: SamplingOptions, batch_size: int, seed: int = 0) -> None:
        if seed < 0:
            raise ValueError(f"seed must be 0 or more, got {seed}")
        self.bundle, self.sampling, self.batch_size, self.seed = bundle, sampling, batch_size, seed

    def describe(self, draws: bool) -> Record:
        """All that its pictures (if it ``draws`` any) and answers depend on, and the machine's share of it."""
        drawing = {"sampling": self.sampling.stated(), "sampling_text": self.sampling.describe(), "seed": self.seed}
        return {**describe(self.bundle), **(drawing if draws else {})}

    def check_prompt(self, drawing: Drawing, size: Size | None = None) -> None:
        """Raise ``ValueError`` where the prompt with its image does not fit the model."""
        head = self.bundle.model.head
        tokens = head.num_tokens if size is None else grid_for(self.bundle.model.config, size).tokens
        ids = self.bundle.template.generation_prompt(drawing.prompt, images=len(drawing.images))
        positions = len(ids) + tokens
        check_length(positions, self.bundle.model.llm, f"the prompt {shorten(drawing.prompt)!r} with its image")

    def draw(self, drawings: Sequence[Drawing], size: Size | None = None) -> list[Image.Image]:
        """A picture each, or a square grid where a drawing has several seeds. size: pixels, height and width."""
        prompts = [drawing.prompt for drawing in drawings for _ in drawing.seeds]
        seeds = [self.seed + seed for drawing in drawings for seed in drawing.seeds]
        shown = [next(iter(drawing.read_images()), None) for drawing in drawings for _ in drawing.seeds]
        asked = (self.bundle, prompts, seeds, self.sampling, self.batch_size)
        images = iter(generate_images(*asked, images=shown, size=size))
        return [square([next(images) for _ in drawing.seeds]) for drawing in drawings]

    def conversation(self, question: Question, images: Sequence[Image.Image], options: DecodingOptions) -> Conversation:
        """The question with its pictures. Raises ``ValueError`` where it does not fit the model."""
        talk = Conversation(images, [(question.text, None)])
        tokenize(self.bundle, talk, options)
        return talk

    def answer(self, talks: Sequence[Conversation], options: DecodingOptions) -> list[str]:
        """The answers."""
        return answer(self.bundle, talks, options, self.batch_size)

    def with_system_prompt(self, text: str | None) -> Candidate:
        """This model with another system prompt; None leaves its own."""
        if text is None:
            return self
        chat = dataclasses.replace(self.bundle.chat, system=text)
        return Candidate(dataclasses.replace(self.bundle, chat=chat), self.sampling, self.batch_size, self.seed)


def square(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size as a square grid without gaps, row by row; one picture is itself."""
    side = round(len(images) ** 0.5)
    if side * side != len(images):
        raise ValueError(f"{len(images)} pictures make no square grid")
    if side == 1:
        return images[0]
    width, height = images[0].size
    sheet = Image.new("RGB", (side * width, side * height))
    for index, image in enumerate(images):
        row, column = divmod(index, side)
        sheet.paste(image, (column * width, row * height))
    return sheet


def describe(bundle: Bundle) -> Record:
    """What a result says about its model."""
    parameters = list(bundle.model.parameters())
    return {
        "head": bundle.model.head.family,
        "checkpoint": bundle.digest,
        "codec": bundle.codec.digest if bundle.codec else None,
        "reconstructions": bundle.codec.reconstructions if bundle.codec else {},
        "parameters": sum(parameter.numel() for parameter in parameters),
        "resolution": bundle.model.config.vision.image_size,
        "dtype": str(parameters[0].dtype).removeprefix("torch."),
        "device": parameters[0].device.type,
        "config": dataclasses.asdict(bundle.model.config),
        "chat": dataclasses.asdict(bundle.chat),
        "preprocessing": dataclasses.asdict(bundle.preprocessing),
        "libraries": libraries(),
    }


def libraries() -> dict[str, str]:
    """The versions that numbers depend on."""
    return {"janusflow": __version__} | {name: importlib.metadata.version(name) for name in LIBRARIES}


def machine(device: torch.device | str) -> str:
    """What times are taken on: the GPU, or the processor and how much of it is used."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    processors = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines() if CPU_INFO.exists() else []
    models = (line.partition(":")[2].strip() for line in processors if line.startswith("model name"))
    names = [platform.machine(), *islice(models, 1)]
    return f"{', '.join(names)}, {torch.get_num_threads()} of {os.cpu_count()} cores"
