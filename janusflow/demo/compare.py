"""*Compare*: the same prompts and seeds by two models, side by side, with what each took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr
from PIL import Image

from janusflow.demo.controls import Controls
from janusflow.demo.draw import gallery, prompt_box, seed_box, signed
from janusflow.demo.models import Shown
from janusflow.demo.runs import ALONE, PROGRESS, told
from janusflow.inference.cost import count_work
from janusflow.inference.images import generate_images
from janusflow.options import SamplingOptions
from janusflow.provenance import made_by
from janusflow.samplers import OnStep

if TYPE_CHECKING:
    from janusflow.demo.page import Page

PROMPTS = 4  # at once
HEADER = "| | seconds a picture | operations a picture | rows through the LLM | options |\n|---|---:|---:|---:|---|"


class Side(NamedTuple):
    """What one of the two models drew."""

    images: list[Image.Image]
    row: str  # of the table


def tab(page: Page, against: Shown) -> None:
    """The tab."""
    gr.Markdown(f"{page.shown.about}, with the options at the side; and {against.about}, with its own below.")
    with gr.Row():
        prompts = prompt_box(page, lines=PROMPTS, elem_id="prompts", info=f"one a line, {PROMPTS} at most")
        with gr.Column():
            seed = seed_box()
            count = gr.Slider(
                1, page.limits.max_images, min(2, page.limits.max_images), step=1, label="Pictures of each"
            )
            with gr.Row():
                go, stop = gr.Button("Compare", variant="primary", elem_id="compare"), gr.Button("Stop")
    with gr.Accordion(f"How {against.name} draws", open=False):
        theirs = Controls(against.usual, "their-")
    table = gr.Markdown(elem_id="table")
    with gr.Row():
        left, right = (gallery(f"side{number}", shown.name) for number, shown in enumerate((page.shown, against)))
    own = len(page.controls.parts)

    @told
    def compare(
        request: gr.Request, prompts: str, seed: int, count: int, progress: gr.Progress = PROGRESS, *values: Any
    ) -> Iterator[tuple[Any, Any, str]]:
        page.stops.begin(request)
        lines = [line.strip() for line in prompts.splitlines() if line.strip()]
        if not 1 <= len(lines) <= PROMPTS:
            raise ValueError(f"there must be 1 to {PROMPTS} prompts, a line each, got {len(lines)}")
        sides: list[Side] = []
        for shown, given in ((page.shown, page.controls.read(values[:own])), (against, theirs.read(values[own:]))):
            *_, options = (page.limits.check_drawing(shown.bundle, line, given) for line in lines)
            on_step = page.stops.on_step(request, progress, shown.name)
            sides.append(draw_side(shown, lines, range(seed, seed + count), options, on_step))
            rows = "\n".join(side.row for side in sides)
            yield sides[0].images, sides[1].images if len(sides) > 1 else gr.skip(), f"{HEADER}\n{rows}"

    inputs = [prompts, seed, count, *page.controls.parts, *theirs.parts]
    go.click(compare, inputs, [left, right, table], **ALONE)
    stop.click(page.stops.ask, queue=False)


def draw_side(
    shown: Shown, prompts: Sequence[str], seeds: Sequence[int], options: SamplingOptions, on_step: OnStep
) -> Side:
    """Pictures of every prompt with every seed, and what one took: counted first, which also warms up, then timed."""
    work = count_work(shown.bundle, prompts, options)
    texts, numbers = [prompt for prompt in prompts for _ in seeds], [*seeds] * len(prompts)
    began = time.perf_counter()
    images = generate_images(shown.bundle, texts, numbers, options, on_step=on_step)
    seconds = (time.perf_counter() - began) / len(images)
    settings = [made_by(shown.bundle, *pair, options) for pair in zip(texts, numbers, strict=True)]
    cells = (
        shown.name,
        f"{seconds:.2f}",
        f"{work['flops'] / 1e9:.2f} G",
        f"{work['llm_rows']:.0f}",
        options.describe(),
    )
    return Side(signed(images, settings), f"| {' | '.join(cells)} |")
