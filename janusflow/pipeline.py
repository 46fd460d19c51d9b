"""A loaded model as notebooks and scripts use it: draw, ask, move, save, publish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from PIL import Image

from janusflow.checkpoints.card import CARD, model_card
from janusflow.checkpoints.pretrained import DEFAULT, Bundle, save_pretrained
from janusflow.checkpoints.pretrained import load_pretrained as load_bundle
from janusflow.hub import upload
from janusflow.inference.answers import Conversation, DecodingOptions, answer
from janusflow.inference.images import generate_images, paired
from janusflow.pictures import read_image
from janusflow.progress import progress_bar
from janusflow.samplers import OnStep
from janusflow.weights import writing

Picture = Image.Image | str | Path


@dataclass(repr=False)
class Pipeline(Bundle):
    """A model with its codec, tokenizer and chat format, and what one does with them."""

    def __repr__(self) -> str:
        weights = list(self.model.parameters())
        size = sum(weight.numel() for weight in weights) / 1e6
        kind, side = str(weights[0].dtype).removeprefix("torch."), self.model.config.vision.image_size
        what = f"{self.model.head.family}, {size:,.1f} M parameters, {side} px"
        return f"Pipeline({what}, {kind} on {weights[0].device}, {self.digest})"

    def generate(
        self,
        prompts: str | Sequence[str] | None = None,
        num_images: int = 1,
        seed: int = 0,
        *,
        images: Picture | Sequence[Picture] | None = None,
        batch_size: int = 16,
        memory_gib: float | None = None,
        progress: bool = False,
        on_step: OnStep | None = None,
        size: tuple[int, int] | None = None,
        **options: Any,
    ) -> list[Image.Image]:
        """``num_images`` of each prompt in turn, with the seeds ``seed``, ``seed`` + 1, …

        images: pictures or files that the prompts show in front of their words: as many, or one of either for all; what
        understanding sees in them is drawn. Without prompts, the request is to draw them again.
        An image depends on its prompt, its seed and the options, not on its batch. options: of the model's head, such
        as ``guidance`` and ``steps`` (``pipeline.options``); what is not given is the model's own, else the head's
        default. on_step: ``on_step(done, steps, latents)`` within a batch. memory_gib: what a batch may take beside the
        weights. size: pixels, height and width (default: the model's square).
        Raises ``ValueError`` for an unknown or impossible option, or a prompt that does not fit.
        """
        if prompts is None and images is None:
            raise ValueError("nothing to draw: give prompts or images")
        asked = paired([prompts] if isinstance(prompts, str) else list(prompts or ()), opened(images))
        if num_images < 1 or seed < 0:
            raise ValueError(f"num_images must be at least 1 and seed 0 or more, got {num_images} and {seed}")
        chosen = self.model.config.head.sampling(self.sampling, options)
        texts = [prompt for prompt, _ in asked for _ in range(num_images)]
        shown = [image for _, image in asked for _ in range(num_images)]
        seeds = [seed + number for _ in asked for number in range(num_images)]
        with progress_bar("drawing", "step", show=progress) as report:
            return generate_images(self, texts, seeds, chosen, batch_size, report, memory_gib, on_step, shown, size)

    @property
    def options(self) -> dict[str, Any]:
        """What ``generate`` draws with where nothing is given."""
        return self.model.config.head.sampling(self.sampling).stated()

    def ask(
        self,
        images: Picture | Sequence[Picture],
        question: str,
        *,
        system: str | None = None,
        max_new_tokens: int = 48,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> str:
        """The answer to a question about an image or several, which may be files; greedy at temperature 0.

        system: another system prompt than the model's own ('' is none).
        """
        options = DecodingOptions(max_new_tokens, temperature, top_p)
        (text,) = answer(self, [Conversation(opened(images), [(question, None)], system)], options, seeds=[seed])
        return text

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Pipeline:
        """Move the model, or change its weights' type (the codec's stay in fp32); returns self."""
        if dtype is not None:
            self.model.to(dtype=dtype)
        if device is not None:
            self.model.to(device=device)
            if self.codec is not None:
                self.codec.to(torch.device(device))
        return self

    def save_pretrained(
        self,
        folder: str | Path,
        layout: str = "janusflow",
        *,
        results: str | Path | Sequence[str | Path] = (),
        license: str | None = None,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        """Write a model folder in our layout, DeepSeek's or transformers', with a model card; settings: ``dtype``,
        ``shard_size``.

        results: a folder of ``python -m eval run``, or several, whose scores the card takes. license: as the hub calls
        it, such as mit. name: in the card, a hub id (default: the folder's). Raises ``ValueError`` for results of
        another model.
        """
        folder = Path(folder)
        card = model_card(self, name or folder.resolve().name, layout, results, license)
        save_pretrained(self, folder, layout, **settings)
        with writing(f"the model card to {folder}"):
            (folder / CARD).write_text(card, encoding="utf-8")

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        commit_message: str = "Upload model",
        **settings: Any,
    ) -> str:
        """Upload what :meth:`save_pretrained` writes (settings: its own); returns the commit's address.

        repo_id: ``owner/name``, made if it is not there (private: for its owner alone). revision: a branch that is
        there. create_pr: proposes the change. Raises ``ValueError`` with the hub's reason in one line.
        """
        with TemporaryDirectory() as place:
            self.save_pretrained(place, **{"name": repo_id, **settings})
            return upload(Path(place), repo_id, commit_message, private, token, revision, create_pr)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path = DEFAULT,
        *,
        dtype: torch.dtype | Literal["stored"] | None = None,
        device: torch.device | str = "cpu",
        revision: str | None = None,
        vae: str | Path | None = "auto",
        adapter: str | Path | None = None,
    ) -> Pipeline:
        """A shipped model by name (shapes-flow, shapes-ar), a model or run folder, or a hub id; it draws and answers.

        The arguments are those of :func:`janusflow.checkpoints.pretrained.load_pretrained`.
        """
        settings = {"dtype": dtype, "device": device, "revision": revision, "vae": vae, "adapter": adapter}
        return cls(**vars(load_bundle(path, **settings)))  # type: ignore[arg-type]


def opened(images: Picture | Sequence[Picture] | None) -> list[Image.Image]:
    """Images, files among them, or one alone."""
    images = [images] if isinstance(images, Picture) else images or []
    return [image if isinstance(image, Image.Image) else read_image(image) for image in images]


load_pretrained = Pipeline.from_pretrained
