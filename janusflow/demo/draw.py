"""*Draw*: pictures of a prompt with several seeds; a picture's file brings its settings back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr
from PIL import Image

from janusflow.demo.runs import ALONE, PROGRESS, told
from janusflow.inference.images import generate_images
from janusflow.options import check_open, from_texts
from janusflow.pictures import read_settings
from janusflow.provenance import made_by

if TYPE_CHECKING:
    from janusflow.demo.page import Page

SEEDS = 2**53  # that a browser's numbers tell apart


class Place(NamedTuple):
    """The controls that say what is drawn."""

    prompt: gr.Textbox
    seed: gr.Number


def prompt_box(page: Page, lines: int = 2, **more: Any) -> gr.Textbox:
    """Where a prompt is written."""
    return gr.Textbox(page.shown.examples()[0], label="Prompt", lines=lines, max_length=page.limits.max_prompt, **more)


def seed_box() -> gr.Number:
    """Where a seed is written."""
    return gr.Number(0, label="Seed", info="of the first picture", precision=0, minimum=0, maximum=SEEDS)


def gallery(elem_id: str, label: str = "Pictures") -> gr.Gallery:
    """Where pictures are shown."""
    return gr.Gallery(
        label=label,
        format="png",
        columns=2,
        height="auto",
        object_fit="contain",
        interactive=False,
        elem_id=elem_id,
        elem_classes=["pixels"],
    )


def signed(images: list[Image.Image], settings: list[dict[str, Any]]) -> list[Image.Image]:
    """``images`` that hold their settings, as files that the page makes of them do."""
    for image, one in zip(images, settings, strict=True):
        image.info |= {name: str(value) for name, value in one.items()}
    return images


def tab(page: Page) -> Place:
    """The tab."""
    limits = page.limits
    with gr.Row():
        with gr.Column(scale=2):
            place = Place(prompt_box(page, elem_id="prompt"), seed_box())
            size = gr.Textbox(
                "",
                label="Size",
                info="HEIGHTxWIDTH in pixels; empty: its square",
                max_length=20,
                elem_id="size",
            )
            count = gr.Slider(1, limits.max_images, min(4, limits.max_images), step=1, label="Pictures")
            with gr.Row():
                go, stop = gr.Button("Draw", variant="primary", elem_id="draw"), gr.Button("Stop")
            gr.Examples([[text] for text in page.shown.examples()], [place.prompt], label="Prompts")
        with gr.Column(scale=3):
            shown = gallery("drawn")
            note = gr.Markdown(elem_id="note")

    @told
    def draw(
        request: gr.Request,
        prompt: str,
        seed: int,
        size: str,
        count: int,
        progress: gr.Progress = PROGRESS,
        *values: Any,
    ) -> tuple[list[Image.Image], str]:
        page.stops.begin(request)
        bundle, began = page.shown.bundle, time.perf_counter()
        shape = limits.check_size(bundle, size) if size.strip() else None
        options = limits.check_drawing(bundle, prompt, page.controls.read(values), shape)
        seeds = [seed + number for number in range(count)]
        on_step = page.stops.on_step(request, progress)
        images = generate_images(bundle, [prompt] * count, seeds, options, on_step=on_step, size=shape)
        seconds = time.perf_counter() - began
        settings = [made_by(bundle, prompt, one, options, size=shape) for one in seeds]
        return signed(images, settings), f"{count} in {seconds:.1f} s: {options.describe()}"

    inputs = [*place, size, count, *page.controls.parts]
    gr.on([go.click, place.prompt.submit], draw, inputs, [shown, note], **ALONE)
    stop.click(page.stops.ask, queue=False)
    return place


def settings_back(page: Page, dropped: gr.File, place: Place) -> None:
    """Have a picture's file set all controls to what it was drawn with."""

    @told
    def read(path: str | None) -> list[Any]:
        if path is None:
            return [gr.skip() for _ in (*place, *page.controls.parts)]
        texts = read_settings(path)
        given = from_texts(page.shown.kind, texts)
        check_open(page.shown.kind, given)  # before anything is made of it: a file may come from anybody
        options = page.shown.config.model.head.sampling(given)
        seed = texts.get("seed", "")
        if texts.get("model") not in ("", page.shown.bundle.digest):
            gr.Warning("another model drew this picture: this one will draw another")
        values = {name: getattr(options, name) for name in options.names()}
        return [
            texts["prompt"][: page.limits.max_prompt],
            int(seed) if seed.isdecimal() else 0,
            *page.controls.show(values),
        ]

    dropped.change(read, [dropped], [*place, *page.controls.parts], **ALONE)
