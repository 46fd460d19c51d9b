"""*Edit*: a picture and an instruction, with several seeds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from janusflow.demo.draw import gallery, seed_box, signed
from janusflow.demo.runs import ALONE, PROGRESS, told
from janusflow.inference.images import generate_images
from janusflow.provenance import made_by

if TYPE_CHECKING:
    from janusflow.demo.page import Page


def tab(page: Page) -> None:
    """The tab."""
    limits = page.limits
    with gr.Row():
        with gr.Column(scale=2):
            source = gr.Image(label="Picture", type="filepath", height=300, elem_id="source", elem_classes=["pixels"])
            instruction = gr.Textbox(
                label="Instruction",
                lines=2,
                max_length=limits.max_prompt,
                placeholder="make the circle blue",
                elem_id="instruction",
            )
            seed = seed_box()
            count = gr.Slider(1, limits.max_images, 1, step=1, label="Pictures")
            with gr.Row():
                go, stop = gr.Button("Edit", variant="primary", elem_id="edit"), gr.Button("Stop")
        with gr.Column(scale=3):
            shown = gallery("edited")
            note = gr.Markdown()

    @told
    def edit(
        request: gr.Request,
        path: str | None,
        instruction: str,
        seed: int,
        count: int,
        progress: gr.Progress = PROGRESS,
        *values: Any,
    ) -> tuple[list[Image.Image], str]:
        page.stops.begin(request)
        if path is None:
            raise ValueError("there is no picture to edit")
        bundle, began, image = page.shown.bundle, time.perf_counter(), limits.read_picture(path)
        options = limits.check_drawing(bundle, instruction, page.controls.read(values))
        seeds = [seed + number for number in range(count)]
        on_step = page.stops.on_step(request, progress)
        prompts, sources = [instruction] * count, [image] * count
        images = generate_images(bundle, prompts, seeds, options, on_step=on_step, images=sources)
        seconds = time.perf_counter() - began
        settings = [made_by(bundle, instruction, one, options, Path(path).name) for one in seeds]
        return signed(images, settings), f"{count} in {seconds:.1f} s: {options.describe()}"

    inputs = [source, instruction, seed, count, *page.controls.parts]
    gr.on([go.click, instruction.submit], edit, inputs, [shown, note], **ALONE)
    stop.click(page.stops.ask, queue=False)
