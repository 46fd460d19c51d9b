"""*Watch*: a picture while it is drawn, as a strip to go through, and as an animation."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from janusflow.demo.draw import prompt_box, seed_box
from janusflow.demo.runs import ALONE, PROGRESS, told
from janusflow.inference.frames import Frame, watch
from janusflow.pictures import grid

if TYPE_CHECKING:
    from janusflow.demo.page import Page

FRAMES = 24  # of a drawing, at most
BUTTONS: Any = ["download", "fullscreen"]
ROW = 8  # frames of the strip in a row
MOMENT, LAST = 120, 1500  # milliseconds that the animation shows a frame, and the picture
LEAST = 192  # pixels of its side: small pictures are enlarged by whole factors


def enlarged(image: Image.Image) -> Image.Image:
    """A small picture by a whole factor; others as they are."""
    side = image.width * max(1, -(-LEAST // image.width))
    return image.resize((side, side), Image.Resampling.NEAREST)


def animation(frames: list[Frame]) -> Image.Image:
    """The frames as a GIF."""
    large = [enlarged(frame.image) for frame in frames]
    times = [MOMENT] * (len(large) - 1) + [LAST]
    file = io.BytesIO()
    large[0].save(file, "GIF", save_all=True, append_images=large[1:], duration=times, loop=0)
    return Image.open(file)


def tab(page: Page) -> None:
    """The tab."""
    about = (
        "What the picture promises to become: a flow's predicted clean image z + (1 - t) v at times t from noise (0) "
        "to data (1); or the codes that are drawn so far."
    )
    gr.Markdown(about)
    frames: Any = gr.State([])
    with gr.Row():
        with gr.Column(scale=2):
            prompt, seed = prompt_box(page, elem_id="watched"), seed_box()
            with gr.Row():
                go, stop = gr.Button("Watch", variant="primary", elem_id="watch"), gr.Button("Stop")
            moment = gr.Slider(1, FRAMES, 1, step=1, label="Moment", elem_id="moment", interactive=True)
            when = gr.Markdown(elem_id="when")
        with gr.Column(scale=3), gr.Row():
            still = gr.Image(
                label="Moment",
                format="png",
                interactive=False,
                buttons=BUTTONS,
                elem_id="still",
                elem_classes=["scrub"],
            )
            moving = gr.Image(
                label="All", format="gif", interactive=False, buttons=BUTTONS, elem_id="moving", elem_classes=["scrub"]
            )
    strip = gr.Image(
        show_label=False, format="png", interactive=False, buttons=BUTTONS, elem_id="strip", elem_classes=["pixels"]
    )

    @told
    def look(
        request: gr.Request, prompt: str, seed: int, progress: gr.Progress = PROGRESS, *values: Any
    ) -> tuple[Any, ...]:
        page.stops.begin(request)
        bundle = page.shown.bundle
        options = page.limits.check_drawing(bundle, prompt, page.controls.read(values))
        found = watch(bundle, prompt, seed, options, FRAMES, page.stops.on_step(request, progress))
        rows = [found[start : start + ROW] for start in range(0, len(found), ROW)]
        captions = [f"{row[0].text} … {row[-1].text}" for row in rows]
        sheet = grid([frame.image for frame in found], ROW, captions)
        slider = gr.Slider(1, max(2, len(found)), len(found), step=1)
        return found, slider, enlarged(found[-1].image), found[-1].text, animation(found), sheet

    def turn_to(number: int, found: list[Frame]) -> tuple[Any, Any]:
        if not found:
            return gr.skip(), gr.skip()
        frame = found[min(int(number), len(found)) - 1]
        return enlarged(frame.image), frame.text

    outputs = [frames, moment, still, when, moving, strip]
    gr.on([go.click, prompt.submit], look, [prompt, seed, *page.controls.parts], outputs, **ALONE)
    moment.input(turn_to, [moment, frames], [still, when], show_progress="hidden", trigger_mode="always_last")
    stop.click(page.stops.ask, queue=False)
