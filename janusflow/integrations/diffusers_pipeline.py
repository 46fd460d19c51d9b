"""A pipeline that is called as those of diffusers are; its pictures are the engine's, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput
from torch import Tensor

from janusflow.codecs.base import ImageCodec
from janusflow.data.transforms import to_images
from janusflow.inference.images import sample_latents
from janusflow.models.shapes import grid_for
from janusflow.pipeline import Pipeline
from janusflow.samplers import time_grid

OutputType = Literal["pil", "np", "pt", "latent"]
OnStepEnd = Callable[["JanusFlowPipeline", int, Tensor, dict[str, Any]], dict[str, Any] | None]


class JanusFlowPipeline(DiffusionPipeline):
    """Draws with a :class:`janusflow.Pipeline`, which is ``pipe.janusflow``: its one component.

    Folders stay those of :mod:`janusflow.checkpoints`, without ``model_index.json``, so ``DiffusionPipeline`` itself
    does not load them; and what moves parts of a pipeline by themselves is refused.
    """

    def __init__(self, janusflow: Pipeline) -> None:
        super().__init__()
        self.register_modules(janusflow=janusflow)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, torch_dtype: torch.dtype | None = None, **settings: Any
    ) -> JanusFlowPipeline:
        """What :func:`janusflow.load_pretrained` loads, with its settings; ``torch_dtype`` is its ``dtype``."""
        return cls(Pipeline.from_pretrained(pretrained_model_name_or_path, **{"dtype": torch_dtype, **settings}))

    def __call__(
        self,
        prompt: str | Sequence[str],
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        output_type: OutputType = "pil",
        return_dict: bool = True,
        callback_on_step_end: OnStepEnd | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        height: int | None = None,
        width: int | None = None,
        **options: Any,
    ) -> ImagePipelineOutput | tuple[Any]:
        """The pictures, ``images`` of what is returned: PIL, or in [0, 1] (B, H, W, 3) ``np`` and (B, 3, H, W) ``pt``.

        num_inference_steps, guidance_scale: the options ``steps`` and ``guidance``; ``options`` are all others of the
        model's head, and what is not given is the model's own. generator: its seed is that of a prompt's first picture
        and the next ones count up, or one a picture; where it has got to does not matter. callback_on_step_end:
        ``(pipe, step, time, {"latents": …})`` after each step from 0 that began at that time (0 noise, 1 data; of codes
        the share drawn); latents that it returns take their place.
        height, width: pixels (default: the model's square). Raises ``ValueError`` as
        :meth:`janusflow.Pipeline.generate` does.
        """
        if output_type not in ("pil", "np", "pt", "latent"):
            raise ValueError(f"output_type must be pil, np, pt or latent, got {output_type!r}")
        if [*callback_on_step_end_tensor_inputs] not in ([], ["latents"]):
            raise ValueError(f"a callback is given latents alone, not {', '.join(callback_on_step_end_tensor_inputs)}")
        codec = None if output_type == "latent" else self.janusflow.required_codec
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        if not prompts:
            raise ValueError("there is no prompt")
        if (height is None) != (width is None):
            raise ValueError("height and width come together")
        size = None if height is None or width is None else (height, width)
        grid = None if size is None else grid_for(self.janusflow.model.config, size)
        named = {"steps": num_inference_steps, "guidance": guidance_scale}
        options |= {name: value for name, value in named.items() if value is not None}
        chosen = self.janusflow.model.config.head.sampling(self.janusflow.sampling, options)
        seeds = picture_seeds(generator, len(prompts), num_images_per_prompt)
        texts = [one for one in prompts for _ in range(num_images_per_prompt)]
        with self.progress_bar(total=1) as bar:  # of how many steps is known with the first

            def on_step(done: int, steps: int, latents: Tensor) -> None:
                bar.total = steps
                bar.update(done - bar.n)
                if callback_on_step_end is not None:
                    time = time_grid(steps, self.janusflow.model.head.shift(chosen, latents))[done - 1]
                    shown = dict.fromkeys(callback_on_step_end_tensor_inputs, latents)
                    found = callback_on_step_end(self, done - 1, time, shown) or {}
                    if found.get("latents", latents) is not latents:
                        latents.copy_(found["latents"])

            batches = sample_latents(self.janusflow, texts, seeds, chosen, len(texts), on_step=on_step, size=size)
            latents = torch.cat([*batches])
        images = as_images(latents, codec, output_type, grid)
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.janusflow.model.llm.device

    @property
    def dtype(self) -> torch.dtype:
        """The model's; the codec's is its own."""
        return next(self.janusflow.model.parameters()).dtype

    def to(self, *given: Any, device: Any = None, dtype: torch.dtype | None = None) -> JanusFlowPipeline:
        """:meth:`janusflow.Pipeline.to`, device and type in any order; returns self."""
        for one in given:
            device, dtype = (device, one) if isinstance(one, torch.dtype) else (one, dtype)
        self.janusflow.to(device, dtype)
        return self

    def save_pretrained(self, save_directory: str | Path, **settings: Any) -> None:
        """:meth:`janusflow.Pipeline.save_pretrained`."""
        self.janusflow.save_pretrained(save_directory, **settings)

    def push_to_hub(self, repo_id: str, **settings: Any) -> str:
        """:meth:`janusflow.Pipeline.push_to_hub`."""
        return self.janusflow.push_to_hub(repo_id, **settings)

    def _whole(self, *_: Any, **__: Any) -> NoReturn:
        raise ValueError("a JanusFlowPipeline is moved whole, by to(device): its parts cannot be offloaded")

    enable_model_cpu_offload = enable_sequential_cpu_offload = enable_group_offload = _whole


def as_images(
    latents: Tensor, codec: ImageCodec | None, output_type: OutputType, grid: tuple[int, int] | None = None
) -> Any:
    """Latents, of ``grid`` where they are no square, as pictures of that type, one decoded at a time as the engine
    does; without a codec as they are."""
    if codec is None:
        return latents.clone()  # no inference tensor
    pixels = torch.cat([codec.decode(one, grid) for one in latents.split(1)])
    if output_type == "pil":
        return to_images(pixels)
    levels = (pixels + 1) / 2
    return levels if output_type == "pt" else levels.permute(0, 2, 3, 1).cpu().numpy()


def picture_seeds(
    generator: torch.Generator | Sequence[torch.Generator] | None, prompts: int, num_images: int
) -> list[int]:
    """A seed for each picture, as :meth:`janusflow.Pipeline.generate` counts them; without a generator from torch's.

    Raises ``ValueError`` for a number of pictures or of generators that cannot be.
    """
    if num_images < 1:
        raise ValueError(f"num_images_per_prompt must be at least 1, got {num_images}")
    if isinstance(generator, Sequence):
        if len(generator) != prompts * num_images:
            raise ValueError(f"{prompts * num_images} pictures need as many generators, got {len(generator)}")
        return [one.initial_seed() for one in generator]
    first = int(torch.randint(2**32, ())) if generator is None else generator.initial_seed()
    return [first + number for _ in range(prompts) for number in range(num_images)]
