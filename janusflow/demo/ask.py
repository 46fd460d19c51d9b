"""*Ask*: pictures and a conversation about them, the answer as it is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import gradio as gr

from janusflow.demo.draw import SEEDS
from janusflow.demo.runs import ALONE, told
from janusflow.inference.answers import Conversation, DecodingOptions, stream

if TYPE_CHECKING:
    from janusflow.demo.page import Page

USUAL_TOKENS = 48
Said = list[dict[str, Any]]  # of roles and contents


def tab(page: Page) -> None:
    """The tab."""
    limits = page.limits
    with gr.Row():
        with gr.Column(scale=2):
            pictures = gr.Gallery(
                label="Pictures",
                type="filepath",
                format="png",
                columns=2,
                object_fit="contain",
                height=300,
                interactive=True,
                elem_id="shown",
                elem_classes=["pixels"],
            )
            with gr.Accordion("How answers are written", open=False):
                tokens = gr.Slider(
                    1, limits.max_tokens, min(USUAL_TOKENS, limits.max_tokens), step=1, label="Tokens, at most"
                )
                warmth = gr.Slider(0, 2, 0, step=0.05, label="Temperature", info="0 is greedy")
                top_p = gr.Slider(
                    0.01, 1, 1, step=0.01, label="Top p", info="from the fewest tokens of this probability"
                )
                seed = gr.Number(0, label="Seed", info="of sampled answers", precision=0, minimum=0, maximum=SEEDS)
        with gr.Column(scale=3):
            talk = gr.Chatbot(label="Conversation", height=360, elem_id="talk", buttons=[])
            question = gr.Textbox(
                label="Question",
                max_length=limits.max_prompt,
                submit_btn=True,
                elem_id="question",
                placeholder="how many circles are there?",
            )
            with gr.Row():
                stop, clear = gr.Button("Stop"), gr.Button("New conversation")

    @told
    def reply(
        request: gr.Request,
        question: str,
        said: Said,
        shown: list[Any] | None,
        tokens: int,
        warmth: float,
        top_p: float,
        seed: int,
    ) -> Iterator[tuple[str, Said]]:
        page.stops.begin(request)
        shown = shown or []
        if len(shown) > limits.max_pictures or len(question) > limits.max_prompt or tokens > limits.max_tokens:
            raise ValueError(
                f"at most {limits.max_pictures} pictures, {limits.max_prompt} characters and {limits.max_tokens} tokens"
            )
        if not question.strip():
            raise ValueError("the question is empty")
        images = [limits.read_picture(path) for path, _ in shown]
        conversation = Conversation(images, [*turns(said), (question, None)])
        options = DecodingOptions(tokens, warmth, top_p).check()
        said = [*said, {"role": "user", "content": question}, {"role": "assistant", "content": ""}]
        text = ""
        for piece in stream(page.shown.bundle, conversation, options, seed):
            if page.stops.asked(request):
                break
            text += piece
            said[-1] = {"role": "assistant", "content": text}
            yield "", said
        yield "", said

    inputs = [question, talk, pictures, tokens, warmth, top_p, seed]
    question.submit(reply, inputs, [question, talk], **ALONE)
    stop.click(page.stops.ask, queue=False)
    clear.click(lambda: [], None, talk, queue=False)


def turns(said: Said) -> list[tuple[str, str]]:
    """What was said, as questions and answers."""
    texts = [content if isinstance(content := one["content"], str) else text_of(content) for one in said]
    return list(zip(texts[::2], texts[1::2], strict=False))


def text_of(parts: list[dict[str, Any]]) -> str:
    """The words of a message in parts, as the browser gives it back."""
    return "".join(part.get("text", "") for part in parts)
