"""The page: a side bar with the options of the model's head, and a tab for each thing that one does with it."""

from __future__ import annotations

from dataclasses import dataclass, field

import gradio as gr

from janusflow.demo import ask, compare, draw, edit, watch
from janusflow.demo.config import DemoConfig
from janusflow.demo.controls import Controls
from janusflow.demo.models import Shown
from janusflow.demo.runs import Stops

CACHE = (600, 3600)  # pictures of the page on disk: looked through how often, kept how long, in seconds
LOCAL = ("system-ui", "sans-serif")  # a page asks nobody for its letters
STYLE = """
.pixels img { image-rendering: pixelated; }
.scrub img { image-rendering: pixelated; width: 100%; max-width: 384px; }
"""
THEME = gr.themes.Default(font=LOCAL, font_mono=("ui-monospace", "monospace"))


@dataclass
class Page:
    """What the tabs share."""

    shown: Shown
    against: Shown | None
    limits: DemoConfig
    controls: Controls
    stops: Stops = field(default_factory=Stops)


def build(shown: Shown, against: Shown | None, limits: DemoConfig) -> gr.Blocks:
    """The page of a model, and of one to compare it with."""
    with gr.Blocks(title=f"janusflow: {shown.name}", analytics_enabled=False, delete_cache=CACHE) as blocks:
        gr.Markdown(f"## janusflow\n{shown.about}")
        with gr.Sidebar(width=340):
            gr.Markdown("### How pictures are drawn")
            page = Page(shown, against, limits, Controls(shown.usual))
            dropped = gr.File(
                label="Settings of a PNG that was drawn here",
                file_types=[".png"],
                type="filepath",
                height=110,
                elem_id="settings",
            )
        with gr.Tab("Draw"):
            place = draw.tab(page)
        if shown.edits:
            with gr.Tab("Edit"):
                edit.tab(page)
        with gr.Tab("Watch"):
            watch.tab(page)
        if against is not None:
            with gr.Tab("Compare"):
                compare.tab(page, against)
        with gr.Tab("Ask"):
            ask.tab(page)
        draw.settings_back(page, dropped, place)
        blocks.unload(page.stops.ask)
    blocks.queue(max_size=limits.queue, default_concurrency_limit=4, api_open=False)
    return blocks
